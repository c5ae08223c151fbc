"""What an app has asked of databases and waits for, by the kernel's evidence.  Pure.

The kernel knows when bytes last went out on a connection and when they last came in.  If
the app's own bytes were the last, the answer is outstanding: a query or a procedure runs in
the database.  docs/procedures.md says what this evidence cannot show.
"""

from __future__ import annotations

from collections.abc import Iterable

from gapless.supervisor.kernel.connections import ESTABLISHED, Connection
from gapless.supervisor.memory.calls import Call

LATE_ACK_MS = 800
"""Kernels acknowledge what they have no answer for within 200 ms and a journey; the
answers to TCP's own keep-alive probes come a second after, at the earliest."""
_MAPPED = "::ffff:"


def is_outstanding(connection: Connection) -> bool:
    """Return whether an answer is outstanding on a connection that the app has opened.

    The kernel counts ages in ticks.  Where both are of the same tick, either a quick answer
    has come, or the app has asked again right after one: then the peer's kernel
    acknowledges that by itself, since there is no answer that could carry it.
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
    """Return the calls of the process that holds some sockets, the oldest first.

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


def keep_abandoned(
    before: tuple[Call, ...], now: tuple[Call, ...], held: frozenset[int]
) -> tuple[Call, ...]:
    """Return the calls of an instance that was sent its stop signal.

    A call whose connection is gone was abandoned, as far as can be known: it stays.
    """
    gone = [c for c in before if c.before_stop and c.inode not in held]
    return tuple(sorted([*now, *gone], key=lambda call: -call.for_s))


def _address(remote: tuple[str, int]) -> str:
    host, port = remote
    host = host.removeprefix(_MAPPED)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
