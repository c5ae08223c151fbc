"""FastAPI: `uvicorn fastapi_app:app`."""

import asyncio
import os

from fastapi import FastAPI, Request, Response
from gapless_drain import Drain
from procedures import close_the_month, keep_books

RELEASE = os.environ.get("RELEASE", "0")
HEADERS = {"X-Release": f"release {RELEASE}"}
drain = Drain()
keep_books(drain)
api = FastAPI()


@api.get("/")
@api.get("/slow")
async def hello(s: float = 0):
    await asyncio.sleep(s)
    return Response(f"release {RELEASE} pid {os.getpid()}\n", headers=HEADERS)


@api.post("/echo")
async def echo(request: Request):
    return Response(await request.body(), headers=HEADERS)


@api.get("/procedure")
def procedure(s: float = 5):  # in a thread: it is within its request all the same
    close_the_month(drain, s)
    return Response(f"release {RELEASE}\n", headers=HEADERS)


app = drain.asgi(api)
