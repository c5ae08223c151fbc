"""An ASGI app whose answers take their time: /pieces in pieces, /late after a silence.

`/pieces?n=40&gap=0.1` sends 1,000 bytes *n* times, to a websocket as messages; a POST is
answered when all has come.
"""

import asyncio
from urllib.parse import parse_qs

import asgi_app

PIECE = b"x" * 1000


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await asgi_app.app(scope, receive, send)
    query = parse_qs(scope["query_string"].decode())
    gap_s, count = float(query.get("gap", ["0"])[0]), int(query.get("n", ["1"])[0])
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(count):
            await send({"type": "websocket.send", "bytes": PIECE})
            await asyncio.sleep(gap_s)
        return await send({"type": "websocket.close"})
    while scope["method"] == "POST" and (await receive()).get("more_body"):
        pass
    if scope["path"] == "/late":
        await asyncio.sleep(gap_s)
        count, gap_s = 1, 0
    headers = [(b"content-length", b"%d" % (count * len(PIECE)))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(count):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await asyncio.sleep(gap_s)
    await send({"type": "http.response.body", "body": b""})
