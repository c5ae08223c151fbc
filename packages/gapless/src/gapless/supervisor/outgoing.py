"""What an app has asked of others and waits for: calls to databases.  Pure.

Of an app that does not count, the kernel knows when bytes last went out on a connection
and when they last came in.  If ours were the last, the answer is outstanding: a query or
a procedure runs over there.  What this cannot see is said in docs/procedures.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gapless.supervisor.connections import ESTABLISHED, Connection

LONG_CALL_S = 1.0
"""A call that lasts longer is no part of a quick request."""
LATE_ACK_MS = 800
"""Kernels acknowledge what they have no answer for within 200 ms and a journey; the
answers to TCP's own keep-alive probes come a second after, at the earliest."""
MOST_NAMES = 20
_MAPPED = "::ffff:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Something asked on a connection, and not answered yet."""

    inode: int
    turn: int
    """Another number for another call on the same connection."""
    to: str
    for_s: float
    before_stop: bool = True
    """Whether it began before the stop signal; later ones are the app's own farewell."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"connection to {self.to}, the answer outstanding"

    def to_wire(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return dataclasses.asdict(self)


def is_outstanding(connection: Connection) -> bool:
    """Tell whether an answer is owed to us on a connection that we have opened.

    The kernel counts ages in ticks.  Where both are of the same tick, a quick answer has
    come, or we have asked anew right after one: then the peer's kernel acknowledges that
    by itself, since there is no answer that could carry it.
    """
    if connection.state != ESTABLISHED or connection.segments_sent == 0:
        return False
    if connection.unread or connection.unsent or not connection.bytes_received:
        return True
    received, sent = connection.last_received_ms, connection.last_sent_ms
    if received != sent:
        return sent < received
    return 0 < received - connection.last_acked_ms <= LATE_ACK_MS


def outstanding(
    found: Iterable[Connection],
    inodes: frozenset[int],
    since_stop_s: float | None = None,
) -> tuple[Call, ...]:
    """Return what the holder of some sockets waits for, the oldest first.

    *since_stop_s* is how long ago it was sent its stop signal, if it was.
    """
    calls = [
        Call(
            inode=connection.inode,
            turn=connection.segments_sent,
            to=_address(connection.remote),
            for_s=connection.last_sent_ms / 1000,
            before_stop=connection.last_sent_ms / 1000 >= (since_stop_s or 0.0),
        )
        for connection in found
        if connection.inode in inodes and is_outstanding(connection)
    ]
    return tuple(sorted(calls, key=lambda call: -call.for_s))


def keep_given_up(
    before: tuple[Call, ...], now: tuple[Call, ...], held: frozenset[int]
) -> tuple[Call, ...]:
    """Return what an instance that was told to end has not seen answered.

    A call whose connection is gone was given up, as far as anybody can know.
    """
    gone = [c for c in before if c.before_stop and c.inode not in held]
    return tuple(sorted([*now, *gone], key=lambda call: -call.for_s))


def _address(remote: tuple[str, int]) -> str:
    host, port = remote
    host = host.removeprefix(_MAPPED)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
