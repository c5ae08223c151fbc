"""Connections that do nothing: they take no place from those who use the page."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from gapless.web.serve import Connection
from rig import wait

ASK = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


class Hurried(Connection):
    """Waits as long as a test does."""

    HEAD_S = UNREAD_S = STALL_S = 0.3


class Patient(Connection):
    """Waits longer than a test does."""

    HEAD_S = UNREAD_S = STALL_S = 600.0


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer `ok`, with much, or with much in pieces."""
    _ = receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    big = {"type": "http.response.body", "body": b"x" * (16 << 20)}
    if scope["path"] == "/pieces":
        for _ in range(4):
            await send(big | {"more_body": True})
    await send(big if scope["path"] == "/big" else big | {"body": b"ok"})


class Page:
    """A page that listens, and those who connect to it."""

    def __init__(self, port: int, state: ServerState) -> None:
        self._port, self.state = port, state
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(
        self, said: bytes = b""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, and say something; nothing is read before it is asked for."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        self._writers.append(writer)
        writer.write(said)
        return reader, writer

    async def close(self) -> None:
        """End what is left of both."""
        for each in self._writers:
            each.transport.abort()
        for one in list(self.state.connections):
            one.transport.abort()
        for task in list(self.state.tasks):
            task.cancel()
        await asyncio.gather(*self.state.tasks, return_exceptions=True)


@asynccontextmanager
async def page_of(kind: type[Connection], most: int) -> AsyncIterator[Page]:
    """Listen with one kind of connection, and at most so many."""
    config = uvicorn.Config(app, limit_concurrency=most, log_config=None)
    config.load()
    state = ServerState()
    listener = await asyncio.get_running_loop().create_server(
        lambda: kind(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    page = Page(listener.sockets[0].getsockname()[1], state)
    try:
        async with asyncio.timeout(10):
            yield page
    finally:
        listener.close()
        await page.close()


async def is_ended(reader: asyncio.StreamReader) -> bool:
    """Return True when the page has ended a connection."""
    try:
        while await reader.read(1 << 16):
            pass
    except ConnectionError:
        pass
    return True


def test_silent_connections_take_no_place_of_others() -> None:
    """The one that has been silent for longest makes room; one that is used stays."""

    async def check() -> None:
        async with page_of(Patient, 4) as page:
            busy, writer = await page.connect(ASK % b"")
            assert b" 200 " in await busy.readuntil(b"ok")
            silent = [(await page.connect())[0] for _ in range(12)]
            assert await is_ended(silent[0])
            writer.close()
            reader, _ = await page.connect(ASK % b"")
            assert b" 200 " in await reader.readline()
            assert len(page.state.connections) <= 4

    asyncio.run(check())


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HT",
        ASK % b"" + b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1",
    ],
)
def test_a_head_that_does_not_come_is_waited_for_in_vain(said: bytes) -> None:
    """Whether nothing came, or a part, or a part after an answer."""

    async def check() -> None:
        async with page_of(Hurried, 64) as page:
            reader, _ = await page.connect(said)
            assert await is_ended(reader)

    asyncio.run(check())


@pytest.mark.parametrize("path", [b"big", b"pieces"])
def test_a_browser_that_reads_nothing_is_given_up(path: bytes) -> None:
    """Also while what was written for it has not been sent."""

    async def check() -> None:
        async with page_of(Hurried, 64) as page:
            await page.connect(ASK % path)
            state = page.state
            for fact, what in (
                (lambda: state.tasks or state.total_requests, "the request"),
                (lambda: not state.connections, "the end of its connection"),
            ):
                await asyncio.to_thread(wait.until, fact, what)

    asyncio.run(check())
