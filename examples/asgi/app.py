"""An ASGI app that knows nothing of gapless."""

import asyncio
import os
from pathlib import Path
from urllib.parse import parse_qs

VERSION = Path("VERSION").read_text().strip()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/slow":
        query = parse_qs(scope["query_string"].decode())
        await asyncio.sleep(float(query.get("s", ["0.5"])[0]))
    if scope["method"] == "GET":
        body = f"release {VERSION} pid {os.getpid()}\n".encode()
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"x-release", f"release {VERSION}".encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
