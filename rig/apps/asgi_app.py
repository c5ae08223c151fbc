"""An ASGI app that does what wsgi_app does."""

import asyncio
import os
from urllib.parse import parse_qs

RELEASE = os.environ.get("RELEASE", "0")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    if scope["method"] == "POST":
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
    else:
        if scope["path"] == "/slow":
            query = parse_qs(scope["query_string"].decode())
            await asyncio.sleep(float(query.get("s", ["0.5"])[0]))
        body = f"release {RELEASE} pid {os.getpid()}\n".encode()
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"x-release", f"release {RELEASE}".encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
