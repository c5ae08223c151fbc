"""The sockets on which instances notify the supervisor: NOTIFY_SOCKET and Node's channel.

The keeper holds a copy of each, so that they outlive a supervisor.
"""

from __future__ import annotations

import array
import os
import selectors
import socket
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from gapless.supervisor.instances import notify
from gapless.supervisor.memory.keeper_connection import KeeperConnection

DATAGRAM_BYTES, PIECE_BYTES = 4096, 65536
Receive = Callable[[str, notify.Notification], None]
"""Is called with the key of an instance and what it notified."""


class NotifySockets:
    """Opens and reads the sockets of every instance."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        keeper: KeeperConnection,
        receive: Receive,
    ) -> None:
        self._selector, self._keeper, self._receive = selector, keeper, receive
        self._sockets: dict[str, dict[str, socket.socket]] = {}
        """By the key of the instance: its sockets by kind, notify and channel."""
        self._partial: dict[str, bytes] = {}
        """By the key of the instance: an incomplete line on its channel."""

    def open_notify(self, key: str) -> str:
        """Open an instance's NOTIFY_SOCKET; return its address, as the variable has it."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Abstract: no file to remove, no limit on the length of GAPLESS_HOME (unix(7)).
        name = f"gapless/{os.urandom(8).hex()}"
        try:
            sock.bind(f"\0{name}")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._keeper.hold(f"notify/{key}", None, sock.fileno())
        except BaseException:
            sock.close()
            raise
        self._watch("notify", key, sock)
        return f"@{name}"

    def open_channel(self, key: str) -> socket.socket:
        """Open Node's channel to an instance; return the program's end of it."""
        ours, theirs = socket.socketpair()
        try:
            self._keeper.hold(f"channel/{key}", None, ours.fileno())
        except BaseException:
            ours.close()
            theirs.close()
            raise
        self._watch("channel", key, ours)
        return theirs

    def adopt(self, name: str, descriptor: int) -> None:
        """Take over a socket that the keeper held; *name* is `kind/key`."""
        kind, _, key = name.partition("/")
        self._watch(kind, key, socket.socket(fileno=descriptor))

    def send(self, key: str, line: bytes) -> bool:
        """Send a line on Node's channel; return whether there is one that takes it."""
        channel = self._sockets.get(key, {}).get("channel")
        if channel is None:
            return False
        try:
            channel.send(line)
        except OSError:
            return False
        return True

    def close_unknown(self, keys: AbstractSet[str]) -> None:
        """Close the sockets of every instance that is not one of *keys*."""
        for key in self._sockets.keys() - keys:
            self.close(key)

    def close(self, key: str) -> None:
        """Close the sockets of an instance that is gone."""
        for kind, sock in self._sockets.pop(key, {}).items():
            self._selector.unregister(sock)
            sock.close()
            self._keeper.release(f"{kind}/{key}")
        self._partial.pop(key, None)

    # --- reading ----------------------------------------------------------------------

    def _watch(self, kind: str, key: str, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sockets.setdefault(key, {})[kind] = sock
        read = self._read_datagram if kind == "notify" else self._read_lines
        self._selector.register(sock, selectors.EVENT_READ, lambda: read(key, sock))

    def _read_datagram(self, key: str, sock: socket.socket) -> None:
        room = socket.CMSG_SPACE(12) + 64
        try:
            datagram, ancillary, _, _ = sock.recvmsg(DATAGRAM_BYTES, room)
        except BlockingIOError:
            return
        try:
            if _sender_uid(ancillary) in (0, os.getuid()) or os.getuid() == 0:
                self._receive(key, notify.parse_datagram(datagram))
        finally:
            # Also the answer to BARRIER=1: all before it was taken in (sd_notify(3)).
            _close_descriptors(ancillary)

    def _read_lines(self, key: str, sock: socket.socket) -> None:
        try:
            piece = sock.recv(PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._selector.unregister(sock)
            sock.close()
            del self._sockets[key]["channel"]
            self._keeper.release(f"channel/{key}")
            return
        found, rest = notify.parse_lines(self._partial.get(key, b"") + piece)
        self._partial[key] = rest
        self._receive(key, found)


def _close_descriptors(ancillary: list[tuple[int, int, bytes]]) -> None:
    """Close what came with a datagram: none is wanted."""
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers = array.array("i")
            numbers.frombytes(content[: len(content) // 4 * 4])
            for descriptor in numbers:
                os.close(descriptor)


def _sender_uid(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return int.from_bytes(content[4:8], "little")
    return -1
