"""An ASGI app whose requests, and whose background job, call a stored procedure.

DRIVER names the driver, DATABASE_URL the database.  Each call is two lines in LEDGER:
`begin JOB`, then `end JOB`, `refused JOB` or `failed JOB`.
"""

import asyncio
import os
import sys
import threading
import time
import urllib.parse
import uuid

from gapless_drain import Drain, Draining

RELEASE = os.environ.get("RELEASE", "0")
URL = os.environ["DATABASE_URL"]
PARTS = urllib.parse.urlsplit(URL)
TOLD = {
    "host": PARTS.hostname,
    "port": PARTS.port,
    "user": PARTS.username,
    "password": PARTS.password,
}
CALL = "CALL close_month(%s, %s, %s)"
drain = Drain()


def note(what):
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(f"{what}\n")


def psycopg():
    from psycopg_pool import ConnectionPool

    from gapless_drain.databases.psycopg import counted

    pool = ConnectionPool(
        URL,
        min_size=1,
        max_size=8,
        open=True,
        connection_class=counted(drain),
        kwargs={"autocommit": True},
    )

    def call(*arguments):
        with pool.connection() as connection:
            connection.execute(CALL, arguments)

    return call


def psycopg_async():
    import psycopg

    from gapless_drain.databases.psycopg import counted

    Connection = counted(drain, psycopg.AsyncConnection)

    async def call(*arguments):
        async with await Connection.connect(URL, autocommit=True) as connection:
            await connection.execute(CALL, arguments)

    return call


def asyncpg():
    import asyncpg

    from gapless_drain.databases.asyncpg import counted

    Connection = counted(drain)

    async def call(*arguments):
        connection = await asyncpg.connect(URL, connection_class=Connection)
        try:
            await connection.execute("CALL close_month($1, $2, $3)", *arguments)
        finally:
            await connection.close()

    return call


def pymysql():
    import pymysql

    from gapless_drain.databases.pymysql import counted

    Cursor = counted(drain)

    def call(*arguments):
        with (
            pymysql.connect(cursorclass=Cursor, database="app", **TOLD) as connection,
            connection.cursor() as cursor,
        ):
            cursor.callproc(os.environ.get("PROCEDURE", "close_month"), arguments)
            connection.commit()

    return call


def mysqlclient():
    import contextlib

    import MySQLdb

    from gapless_drain.databases.mysqlclient import counted

    Cursor = counted(drain)

    def call(*arguments):
        connection = MySQLdb.connect(cursorclass=Cursor, database="app", **TOLD)
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.callproc("close_month", arguments)

    return call


def aiomysql():
    import aiomysql

    from gapless_drain.databases.aiomysql import counted

    Cursor = counted(drain)

    async def call(*arguments):
        connection = await aiomysql.connect(cursorclass=Cursor, db="app", **TOLD)
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(CALL, arguments)
        finally:
            connection.close()

    return call


def sqlalchemy():
    import sqlalchemy

    from gapless_drain.databases.sqlalchemy import count

    name = "mysql+pymysql" if PARTS.scheme == "mariadb" else "postgresql+psycopg"
    engine = sqlalchemy.create_engine(URL.replace(PARTS.scheme, name, 1), pool_size=8)
    count(drain, engine)
    text = sqlalchemy.text("CALL close_month(:job, :steps, :pause_s)")

    def call(job, steps, pause_s):
        with engine.begin() as connection:
            connection.execute(text, {"job": job, "steps": steps, "pause_s": pause_s})

    return call


def sqlalchemy_async():
    import sqlalchemy
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    from gapless_drain.databases.sqlalchemy import count

    url = URL.replace(PARTS.scheme, "postgresql+asyncpg", 1)
    engine = create_async_engine(url, poolclass=NullPool)
    count(drain, engine)
    text = sqlalchemy.text("CALL close_month(:job, :steps, :pause_s)")

    async def call(job, steps, pause_s):
        async with engine.begin() as connection:
            parameters = {"job": job, "steps": steps, "pause_s": pause_s}
            await connection.execute(text, parameters)

    return call


def django():
    import django
    from django.conf import settings
    from django.db import connection

    from gapless_drain.databases.django import count

    engine = "mysql" if PARTS.scheme == "mariadb" else "postgresql"
    names = {name.upper(): value for name, value in TOLD.items()}
    database = {"ENGINE": f"django.db.backends.{engine}", "NAME": "app", **names}
    settings.configure(DATABASES={"default": database})
    django.setup()
    count(drain)

    def call(*arguments):
        with connection.cursor() as cursor:
            cursor.execute(CALL, arguments)

    return call


driven = globals()[os.environ["DRIVER"]]()


async def run(*arguments):
    if asyncio.iscoroutinefunction(driven):
        await driven(*arguments)
    else:
        await asyncio.to_thread(driven, *arguments)


async def call(job, steps, pause_s):
    note(f"begin {job}")
    try:
        await run(job, steps, pause_s)
    except Draining:
        note(f"refused {job}")
        raise
    except BaseException as error:
        if "cannot schedule new futures" not in str(error):  # it never began
            note(f"failed {job}")
        raise
    note(f"end {job}")


async def keep_books():
    """Call the procedure again and again, outside all requests; a drain refuses it."""
    number = 0
    while True:
        number += 1
        try:
            await call(f"background-{RELEASE}-{os.getpid()}-{number}", 3, 0.02)
        except Draining:
            pass
        except Exception as error:
            print(error, file=sys.stderr, flush=True)
        await asyncio.sleep(0.02)


def begin():
    """Run it in a loop of its own, in a thread, as schedulers do."""
    threading.Thread(target=lambda: asyncio.run(keep_books()), daemon=True).start()


async def application(scope, receive, send):
    query = urllib.parse.parse_qs(scope.get("query_string", b"").decode())
    status = 200
    if scope["path"] == "/call":
        steps = int(query.get("steps", ["4"])[0])
        pause_s = float(query.get("pause_s", ["0.05"])[0])
        try:
            await call(f"request-{RELEASE}-{uuid.uuid4().hex}", steps, pause_s)
        except Draining:
            status = 500
    text = f"release {RELEASE} pid {os.getpid()} at {time.monotonic()}\n".encode()
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                begin()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await counted_app(scope, receive, send)


counted_app = drain.asgi(application)
