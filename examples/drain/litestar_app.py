"""Litestar: `uvicorn litestar_app:app`."""

import asyncio
import os

from gapless_drain import Drain
from litestar import Litestar, Request, Response, get, post
from procedures import close_the_month_async, keep_books

RELEASE = os.environ.get("RELEASE", "0")
HEADERS = {"X-Release": f"release {RELEASE}"}
drain = Drain()
keep_books(drain)


@get(["/", "/slow"], media_type="text/plain")
async def hello(s: float = 0) -> Response[str]:
    await asyncio.sleep(s)
    return Response(f"release {RELEASE} pid {os.getpid()}\n", headers=HEADERS)


@post("/echo", status_code=200)
async def echo(request: Request) -> Response[bytes]:
    return Response(await request.body(), headers=HEADERS, media_type="text/plain")


@get("/procedure", media_type="text/plain")
async def procedure(s: float = 5) -> Response[str]:
    await close_the_month_async(drain, s)
    return Response(f"release {RELEASE}\n", headers=HEADERS)


app = drain.asgi(Litestar([hello, echo, procedure]))
