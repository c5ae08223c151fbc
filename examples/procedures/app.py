"""The article's example in Python, with a stored procedure: `uvicorn app:app`."""

import asyncio
import os
from contextlib import asynccontextmanager
from datetime import date

import psycopg
from fastapi import FastAPI, Response
from gapless_drain import Drain, Draining
from gapless_drain.databases.psycopg import counted
from psycopg_pool import AsyncConnectionPool

RELEASE = os.environ.get("RELEASE", "0")
drain = Drain(health_path="/health")
Connection = counted(drain, psycopg.AsyncConnection)  # this line counts the procedures
pool = AsyncConnectionPool(
    os.environ["DATABASE_URL"], connection_class=Connection, open=False
)
CALL = "CALL close_month(%s, %s, %s)"


async def close_last_month():
    """Every now and then, outside of all requests."""
    while True:
        try:
            async with pool.connection() as connection:
                await connection.execute(CALL, (date.today(), 1, RELEASE))
        except Draining:
            return  # another process goes on with it
        await asyncio.sleep(0.1)


@asynccontextmanager
async def lifespan(_):
    async with pool:
        job = asyncio.create_task(close_last_month())
        yield
        await job  # it ends by itself once the process drains


api = FastAPI(lifespan=lifespan)


@api.get("/")
async def hello():
    await asyncio.sleep(0.1)
    return Response(f"release {RELEASE} pid {os.getpid()}\n")


@api.get("/health")
async def health():
    return Response(f"release {RELEASE} is well\n")


@api.post("/close/{month}")
async def close(month: date, steps: int = 5):
    async with pool.connection() as connection:
        await connection.execute(CALL, (month, steps, RELEASE))
    return Response(f"release {RELEASE} closed {month}\n")


app = drain.asgi(api)
