"""A plain ASGI app that counts: `uvicorn plain_asgi:app`."""

import asyncio
import os
from urllib.parse import parse_qs

from gapless_drain import Drain
from procedures import close_the_month_async, keep_books

RELEASE = os.environ.get("RELEASE", "0")
drain = Drain()
keep_books(drain)


async def whole_body(receive):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def events(send):
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        event = f"data: release {RELEASE}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(0.05)


async def echo_socket(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def plain(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        return await echo_socket(receive, send)
    query = parse_qs(scope["query_string"].decode())
    seconds = float(query.get("s", ["0.5"])[0])
    body = await whole_body(receive)
    if scope["path"] == "/events":
        return await events(send)
    if scope["path"] == "/fail":
        raise RuntimeError("asked for")
    if scope["path"] == "/slow":
        await asyncio.sleep(seconds)
    if scope["path"] == "/procedure":
        await close_the_month_async(drain, seconds)
    if scope["method"] != "POST":
        body = f"release {RELEASE} pid {os.getpid()}\n".encode()
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"x-release", f"release {RELEASE}".encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = drain.asgi(plain)
