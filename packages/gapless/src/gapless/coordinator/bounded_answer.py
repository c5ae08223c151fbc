"""Answers of HTTP that end: within a time, however slowly they come, and within a size.

A timeout of a socket is for one call: who sends a byte each second would never be late.
"""

from __future__ import annotations

import http.client
import io
import socket
from typing import TYPE_CHECKING

from gapless.base import clock

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_BYTES = 96 << 20
"""Of one answer: all values below one prefix, in base64."""
_PIECE_BYTES = 1 << 20


class Deadline:
    """Until when an answer may take, on CLOCK_MONOTONIC."""

    def __init__(self, timeout_s: float) -> None:
        self._until = clock.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """How long that is from now.  Raises TimeoutError if it is over."""
        left_s = self._until - clock.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        return left_s


class _Reader(io.RawIOBase):
    """What a socket receives until a deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        self._sock.settimeout(self._deadline.left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Source:
    """What http.client takes a file from, in the place of a socket."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def makefile(self, *_how: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._deadline))


def limit(connection: http.client.HTTPConnection, deadline: Deadline) -> None:
    """Let the answer on a connection, its head too, end at a deadline."""

    def response(
        sock: socket.socket, *args: int, **how: str
    ) -> http.client.HTTPResponse:
        return http.client.HTTPResponse(_Source(sock, deadline), *args, **how)  # type: ignore[arg-type]  # only makefile is called

    connection.response_class = response  # type: ignore[assignment]  # it is only called


def body(answer: http.client.HTTPResponse) -> bytes:
    """Return the body of an answer.

    Raises OSError, and HTTPException if it has more than `MOST_BYTES` or is cut off.
    """
    found = bytearray()
    while piece := answer.read(_PIECE_BYTES):
        found += piece
        if len(found) > MOST_BYTES:
            raise http.client.HTTPException(f"more than {MOST_BYTES >> 20} MiB")
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return bytes(found)
