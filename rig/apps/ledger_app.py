"""Writes the number of each POST to a ledger, so that a POST that runs twice is found."""

import asyncio
import os

from gapless_drain import Drain

RELEASE = os.environ.get("RELEASE", "0")
drain = Drain()
ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


async def plain(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["method"] == "POST":
        number = dict(scope["headers"]).get(b"x-request-number", b"unnumbered")
        os.write(ledger, number + b"\n")
        await asyncio.sleep(0.01)
    else:
        body = f"release {RELEASE} pid {os.getpid()}\n".encode()
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"x-release", f"release {RELEASE}".encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = drain.asgi(plain)
