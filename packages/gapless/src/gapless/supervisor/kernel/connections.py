"""TCP connections as the kernel sees them, and what their numbers mean (tcp(7)).  Pure."""

from __future__ import annotations

from dataclasses import dataclass

ESTABLISHED, SYN_RECV, FIN_WAIT1, FIN_WAIT2 = 1, 3, 4, 5
CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING, NEW_SYN_RECV = 8, 9, 10, 11, 12
OPEN = (ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING)
HALF_OPEN = (SYN_RECV, NEW_SYN_RECV)
"""States of <net/tcp_states.h>."""

ACTIVE_MS = 5000
"""A client that was silent for longer may send a request at any time, or never."""
TICK_MS = 4
"""The kernel reports ages in ticks of up to this length."""
RECENT_MS = 200
FRESH_MS = 1000
"""For so long after the handshake a first request may be on its way, or its client busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One TCP connection as the kernel sees it; ages in milliseconds."""

    inode: int
    """0 if no process holds it: the kernel finishes it by itself."""
    state: int
    local: tuple[str, int]
    remote: tuple[str, int]
    unread: int
    unsent: int
    bytes_received: int
    bytes_acked: int
    last_received_ms: int
    last_sent_ms: int
    last_acked_ms: int = 0
    """Since the peer acknowledged anything, if only what it had already."""
    segments_sent: int = 0
    """With data in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A client in the middle of a handshake."""

    host: str
    port: int
    local_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """A listening socket of any program."""

    inode: int
    address: tuple[str, int]
    uid: int
    v6only: bool


def is_busy(connection: Connection) -> bool:
    """Return whether an answer is owed on a connection, as far as the kernel can know.

    A connection on which the last bytes came from the peer owes an answer, and so does
    one that has not carried anything both ways yet.  One that we have closed is the
    kernel's to finish; one that the peer has closed may still wait for its answer.
    """
    if connection.inode == 0 or connection.state in (
        FIN_WAIT1,
        FIN_WAIT2,
        LAST_ACK,
        CLOSING,
    ):
        return False
    if connection.unread or connection.unsent:
        return True
    if connection.bytes_received == 0:
        # Nothing was asked; a peer that closed without a word will not ask any more.
        return connection.state != CLOSE_WAIT
    if connection.bytes_acked == 0:
        return True
    received, sent = connection.last_received_ms, connection.last_sent_ms
    if received < RECENT_MS:
        return received <= sent + TICK_MS
    return received < sent


def is_unserved(connection: Connection) -> bool:
    """Return whether a process that counts its requests has yet to count one.

    There are bytes that it has not read, or that the peer has not; or the peer has just
    connected: it would lose its first request if the process ended now.  The age of a
    connection that has carried nothing is that of its handshake.
    """
    if connection.unread or connection.unsent:
        return True
    return (
        connection.state == ESTABLISHED
        and connection.bytes_received == 0
        and connection.last_received_ms < FRESH_MS
    )


def is_active(connection: Connection) -> bool:
    """Return whether a next request may soon follow on an open connection."""
    if connection.inode == 0 or connection.state != ESTABLISHED:
        return False
    silent_ms = min(connection.last_received_ms, connection.last_sent_ms)
    return silent_ms < ACTIVE_MS
