"""Parsers of what processes send: whatever comes, the answer is a value or one error."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable

import pytest

from gapless.base import wire
from gapless.base.errors import MisuseError
from gapless.keeper import messages as keeper_messages
from gapless.supervisor.control import request
from gapless.supervisor.instances import notify
from gapless.supervisor.instances.drain_connection import read_lines
from rig import fuzz

PIECES = (
    b"READY=1",
    b"STATUS=",
    b"STOPPING=1\n",
    b'{"hello": 1, "instance": "a/1/0/1"}',
    b'{"mode": "serving", "requests": 1, "running": [{"kind": "request", "for_s": 1}]}',
    b'{"op": "start", "spec": {"name": "a", "command": ["x"], "directory": "/"}}',
    b'{"op": "spawn", "key": "a/1/0/1", "argv": ["x"], "environment": {}, "limits": {}}',
    b'{"event": "bind", "key": "a/1/0/1", "id": 1, "path": "/run/x", "port": 65536}',
    b'"ready"\n',
    *(b"null true -1 1e999 NaN 9007199254740993 1e-400 [] {}".split()),
    b"[" * 1200,
    b'{"a":' * 300,
    b"9" * 4400,
    b'"\\ud800"',
    b"\\u0000\\u001b[2J\xe2\x80\xae",
    b"\xff\xfe\0\r\n",
    b'": , [ { ] }',
)


def datagram(content: bytes) -> None:
    """Read a datagram of NOTIFY_SOCKET."""
    found = notify.parse_datagram(content)
    assert found.status.isprintable()


def lines(content: bytes) -> None:
    """Read lines of Node's channel, whole and in two parts."""
    whole, rest = notify.parse_lines(content)
    assert len(rest) <= notify.LONGEST_LINE_BYTES + 1
    half = len(content) // 2
    first, rest = notify.parse_lines(content[:half])
    second, _ = notify.parse_lines(rest + content[half:])
    assert whole.ready == (first.ready or second.ready)


def drain_line(content: bytes) -> None:
    """Read a line of a process that counts."""
    said = read_lines(content.split(b"\n"), knows_hello=False)
    assert said.counts is None or said.counts.owed >= -(1 << 53)


def control_request(content: bytes) -> None:
    """Read a request of a client."""
    try:
        request.read(content)
    except MisuseError as error:
        json.dumps(error.describe())


def keeper_line(content: bytes) -> None:
    """Read a message of the keeper or for it."""
    try:
        message, _ = wire._decode(content, [], 0)
        keeper_messages.read_spawn(message, [], 0.0)
    except ValueError as error:
        json.dumps(str(error))


PARSERS: tuple[Callable[[bytes], None], ...] = (
    datagram,
    lines,
    drain_line,
    control_request,
    keeper_line,
)


def made_up(draw: random.Random) -> bytes:
    """Return pieces of messages, put together and damaged."""
    return fuzz.made_up(draw, PIECES)


@pytest.mark.parametrize("parse", PARSERS)
def test_whatever_comes_is_read_or_refused(parse: Callable[[bytes], None]) -> None:
    """There is no other exception, and no hang."""
    fuzz.try_all(parse, made_up, fuzz.SHORT, 19)


@pytest.mark.soak
@pytest.mark.parametrize("parse", PARSERS)
def test_a_million_are_read_or_refused(parse: Callable[[bytes], None]) -> None:
    """The seed is of this run; a failure names it."""
    fuzz.try_all(parse, made_up, fuzz.LONG, random.randrange(1 << 32))


def test_a_message_cut_short_is_none() -> None:
    """The kernel says so."""
    with pytest.raises(ValueError, match="cut short"):
        wire._decode(b"{}", [], socket.MSG_TRUNC)
