"""Does what fleet_app.js does, with the drain library: 503 while it is recycled."""

import asyncio
import os
import time

from gapless_drain import Drain

HERE = os.path.dirname(os.path.abspath(__file__))
with open(f"{HERE}/VERSION", encoding="ascii") as file:
    VERSION, HOW, AFTER = (file.read().split() + ["", "0"])[:3]
if HOW == "broken":
    raise RuntimeError("this release is broken")
born = time.monotonic()
drain = Drain()
ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


async def plain(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body, more, status = b"", True, 200
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/health":
        sick = HOW == "sick" and time.monotonic() - born > float(AFTER)
        status, body = (500, b"sick\n") if sick else (200, b"ok\n")
    elif scope["method"] == "POST":
        number = dict(scope["headers"]).get(b"x-request-number", b"unnumbered")
        os.write(ledger, number + b"\n")
        await asyncio.sleep(0.01)
    else:
        body = f"release {VERSION} pid {os.getpid()}\n".encode()
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"x-release", f"release {VERSION}".encode()),
        (b"x-instance", f"{os.environ.get('HOST_NAME')} {os.getpid()}".encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = drain.asgi(plain)
