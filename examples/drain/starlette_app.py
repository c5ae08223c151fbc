"""Starlette: `uvicorn starlette_app:app`."""

import asyncio
import os

from gapless_drain import Drain
from procedures import close_the_month_async, keep_books
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

RELEASE = os.environ.get("RELEASE", "0")
HEADERS = {"X-Release": f"release {RELEASE}"}
drain = Drain()
keep_books(drain)


async def hello(request):
    await asyncio.sleep(float(request.query_params.get("s", 0)))
    return PlainTextResponse(f"release {RELEASE} pid {os.getpid()}\n", headers=HEADERS)


async def echo(request):
    return Response(await request.body(), headers=HEADERS)


async def procedure(request):
    await close_the_month_async(drain, float(request.query_params.get("s", 5)))
    return PlainTextResponse(f"release {RELEASE}\n", headers=HEADERS)


routes = [
    Route("/", hello),
    Route("/slow", hello),
    Route("/echo", echo, methods=["POST"]),
    Route("/procedure", procedure),
]
app = drain.asgi(Starlette(routes=routes))
