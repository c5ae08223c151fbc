"""A connection of another process, by a duplicate: what it shows, and its marks (tcp(7)).

The mark is the value of SO_RCVLOWAT.  It lives in the kernel with the socket, so a relay
that died is followed by one that finds what it had parked, and what it had begun to take.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import random
import socket
import struct
import weakref

from gapless.supervisor.kernel import connections
from gapless.supervisor.kernel.source_buckets import BUCKETS, CARRIED_TTL, bucket_of
from gapless.supervisor.relay.parking import Look

PARKED, TAKEN = (2 << 20) + 0x6A, (2 << 20) + 0x6B
"""Marks: the process is not woken; the relay has begun to read a request."""
LARGEST_WHOLE_BYTES = 16 << 10
"""A request that fits wakes no process.  A larger one may fill the window, which does.

On loopback one segment has up to 64 KiB, as much as the window of a new connection.
"""
PORTS_BY_SOURCE: set[int] = set()
"""The ports of the apps whose instances have their clients by source address."""
TTLS: weakref.WeakKeyDictionary[socket.socket, int] = weakref.WeakKeyDictionary()
"""By a connection that is taken: the time to live of what is carried for it, if its app
shares the port with others (`sockets.parts`)."""
_PORTS_OF_A_BUCKET = range(BUCKETS, 1 << 16, BUCKETS)
_TCP_SAVED_SYN, _LARGEST_HEADS_BYTES, _IPV4_HEAD_BYTES = 28, 256, 20
_FIONREAD, _SIOCOUTQ = 0x541B, 0x5411
_TCP_INFO_BYTES, _RECEIVED_AT = 232, 128
_LONGEST_AGE_MS = 0xFFFFFFFF
_MOST_LOOKS = 50
_PEER_HAS_CLOSED = (6, 8, 9, 11)  # TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING
_libc = ctypes.CDLL(None, use_errno=True)


def look(sock: socket.socket) -> Look:
    """Look at a connection.  Raises OSError.

    What arrived is asked for before and after what waits: a process that reads a request
    and gets the next one of the same length leaves the same number waiting.
    """
    before = _count(sock, _FIONREAD)
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    unread = _count(sock, _FIONREAD)
    after = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_AT + 8)
    state = info[0]
    last_sent, _, last_received = struct.unpack_from("=III", info, 44)
    acked, received = struct.unpack_from("=QQ", info, 120)
    received -= state in _PEER_HAS_CLOSED  # its FIN counts as a byte
    (not_sent,) = struct.unpack_from("=I", info, 144)
    (segments,) = struct.unpack_from("=I", info, 156)
    sent, sent_again = struct.unpack_from("=QQ", info, 200)
    written = sent - sent_again + not_sent
    seen = connections.Connection(
        inode=1,
        state=state,
        local=("", 0),
        remote=("", 0),
        unread=unread,
        unsent=max(0, written - acked),
        bytes_received=received,
        bytes_acked=acked,
        last_received_ms=last_received,
        last_sent_ms=last_sent if segments else _LONGEST_AGE_MS,
    )
    return Look(
        received=received,
        unread=unread,
        written=written,
        unsent=seen.unsent,
        silent_s=min(seen.last_received_ms, seen.last_sent_ms) / 1000,
        idle=not connections.is_busy(seen),
        is_open=state == connections.ESTABLISHED,
        steady=before == unread and info.startswith(after[_RECEIVED_AT:], _RECEIVED_AT),
    )


def position(sock: socket.socket) -> int | None:
    """Return how many bytes have been read, by whomever; None if that cannot be seen.

    Raises OSError.
    """
    found = steady_look(sock)
    return None if found is None else found.position


def steady_look(sock: socket.socket) -> Look | None:
    """Look at a connection while nothing moves; None if that does not come.

    A look while bytes arrive tells of too few.  Raises OSError.
    """
    for _ in range(_MOST_LOOKS):
        if (found := look(sock)).steady:
            return found
    return None


def unread(sock: socket.socket) -> int:
    """Return how many bytes wait to be read."""
    return _count(sock, _FIONREAD)


def _count(sock: socket.socket, request: int) -> int:
    return int(struct.unpack("=i", fcntl.ioctl(sock, request, b"\0\0\0\0"))[0])


def mark_of(sock: socket.socket) -> int:
    """Return the mark of a connection; 1 if it has none."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


def set_mark(sock: socket.socket, mark: int) -> bool:
    """Set a mark; return whether the kernel took it as it is, and did not cap it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)
    return mark_of(sock) == mark


def clear_mark(sock: socket.socket) -> None:
    """Let the process be woken again, now if bytes wait."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def shut(sock: socket.socket) -> None:
    """Shut a connection for all who hold it, and read what has come: nobody else does.

    Raises OSError.
    """
    sock.shutdown(socket.SHUT_RDWR)
    try:
        while sock.recv(1 << 16, socket.MSG_DONTWAIT):
            pass
    except BlockingIOError:
        return


def is_blocking(sock: socket.socket) -> bool:
    """Return whether who reads from a connection may sleep in recv(2).

    The flag belongs to what all duplicates share.
    """
    return not fcntl.fcntl(sock, fcntl.F_GETFL) & os.O_NONBLOCK


def may_read(sock: socket.socket) -> bool:
    """Return whether the peer of a connection may still read, as far as it has told."""
    state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state in (connections.ESTABLISHED, connections.CLOSE_WAIT)


def bind_for(sock: socket.socket, client: socket.socket) -> None:
    """Bind a socket to the address that a client has connected to.

    Where source addresses choose the instance, a port of the client's bucket stands for its
    address: all that the relay carries comes from this host.  The time to live of the
    packets says so (`source_buckets`).  Where every port of the bucket is in use the
    instance is the one of this host.  Where apps share the port, the time to live names
    the app.  Raises OSError.
    """
    local, remote = client.getsockname(), client.getpeername()
    if local[1] in PORTS_BY_SOURCE:
        bucket = bucket_of(remote[0])
        firsts = random.sample(_PORTS_OF_A_BUCKET, len(_PORTS_OF_A_BUCKET))
        for first in firsts:
            with contextlib.suppress(OSError):
                sock.bind((local[0], first + bucket, *local[2:]))
                _set_ttl(sock, CARRIED_TTL)
                return
    sock.bind((local[0], 0, *local[2:]))
    if ttl := TTLS.get(client):
        _set_ttl(sock, ttl)


def saved_ttl(sock: socket.socket) -> int | None:
    """Return the time to live of the packet by which a connection began.

    None if that was not saved (`steering.save_syn`), or was read before.
    """
    head = sock.getsockopt(socket.IPPROTO_TCP, _TCP_SAVED_SYN, _LARGEST_HEADS_BYTES)
    if len(head) < _IPV4_HEAD_BYTES:
        return None
    return head[8] if head[0] >> 4 == 4 else head[7]


def _set_ttl(sock: socket.socket, ttl: int) -> None:
    """Let the packets of a socket have a time to live, of IPv4 and of IPv6."""
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)


def connect_as(taken: socket.socket) -> socket.socket:
    """Begin to connect to the local address of a connection, and from there.

    So a request gains no trust on its way.  Raises OSError.
    """
    local = taken.getsockname()
    sock = socket.socket(taken.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bind_for(sock, taken)
        error = sock.connect_ex(local)
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
    except OSError:
        sock.close()
        raise
    return sock


def reset(sock: socket.socket) -> None:
    """End a connection with an error for its peer, whoever else has it (connect(2)).

    Raises OSError: EBUSY while a thread sleeps in a read of it.
    """
    nowhere = struct.pack("=H14x", socket.AF_UNSPEC)
    if _libc.connect(sock.fileno(), nowhere, len(nowhere)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
