"""The sockets on which instances notify the supervisor: NOTIFY_SOCKET and Node's channel.

The keeper holds a copy of each, so that they outlive a supervisor.

Rule 1: who may reach NOTIFY_SOCKET, and whom the kernel names as the sender, decides whose
word it is (`notify_places`, `messages`).
Rule 2: what one instance sends costs the others nothing: some messages in each turn of the
loop, of a bounded length, and a sender that makes us wait is not read any more.
Rule 3: the word that an instance is ready stays in its socket until the keeper has a note
of it: a supervisor that is killed before is followed by one that reads it.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from gapless.base.kernel import peer
from gapless.base.names import Home
from gapless.base.outside import disposal
from gapless.supervisor.instances import notify
from gapless.supervisor.instances.notify_places import NotifyPlaces
from gapless.supervisor.memory.keeper_connection import KeeperConnection

DATAGRAM_BYTES, PIECE_BYTES = 4096, 65536
MESSAGES_PER_TURN = 16
"""Of one instance; then the others have their turn."""
Receive = Callable[[str, notify.Notification], None]
"""Is called with the key of an instance and what it notified."""
Speaks = Callable[[str, int, int], bool]
"""Returns whether a process, by its pid and uid, speaks for an instance."""


class NotifySockets:
    """Opens and reads the sockets of every instance."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        keeper: KeeperConnection,
        receive: Receive,
        *,
        speaks: Speaks,
        home: Home,
    ) -> None:
        self._selector, self._keeper, self._receive = selector, keeper, receive
        self._speaks, self._places = speaks, NotifyPlaces(home)
        self._sockets: dict[str, dict[str, socket.socket]] = {}
        """By the key of the instance: its sockets by kind, notify and channel."""
        self._partial: dict[str, bytes] = {}
        """By the key of the instance: an incomplete line on its channel."""
        self._noted: set[str] = set()
        """The instances that have said that they are ready, of which there is a note."""

    def open_notify(self, key: str, uid: int) -> str:
        """Open the NOTIFY_SOCKET of an instance of that user; return its path.

        Raises OSError.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            path = self._places.bind(sock, uid)
            self._keeper.hold(f"notify/{key}", None, sock.fileno())
        except BaseException:
            self._places.remove(sock)
            sock.close()
            raise
        self._watch("notify", key, sock)
        return path

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
        found = (each.get("notify") for each in self._sockets.values())
        names = (each.getsockname() for each in found if each is not None)
        self._places.remove_unknown({each for each in names if isinstance(each, str)})

    def close(self, key: str) -> None:
        """Close the sockets of an instance that is gone."""
        for kind, sock in self._sockets.pop(key, {}).items():
            self._unwatch(sock)
            if kind == "notify":
                self._places.remove(sock)
            disposal.close_all(disposal.unread(sock))
            sock.close()
            self._keeper.release(f"{kind}/{key}")
        self._partial.pop(key, None)
        self._noted.discard(key)

    def heard(self, key: str, said: list[tuple[int, int, bytes]]) -> None:
        """Take in what the keeper has read in our place: pid, uid and content of each.

        Whose word it is counts as it does here.
        """
        found = notify.Notification()
        for pid, uid, datagram in said:
            if self._speaks(key, pid, uid):
                found = found.then(notify.parse_datagram(datagram))
        if found != notify.Notification():
            self._receive(key, found)

    # --- reading ----------------------------------------------------------------------

    def _watch(self, kind: str, key: str, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sockets.setdefault(key, {})[kind] = sock
        self._listen(kind, key, sock)

    def _listen(self, kind: str, key: str, sock: socket.socket) -> None:
        read = self._read_datagram if kind == "notify" else self._read_lines
        self._selector.register(sock, selectors.EVENT_READ, lambda: read(key, sock))

    def _is_ready(self, kind: str, key: str, sock: socket.socket) -> None:
        """Take in that an instance is ready; its socket is read when that is noted."""
        self._unwatch(sock)
        self._receive(key, notify.Notification(ready=True))
        self._keeper.when_noted(lambda: self._ready_is_noted(kind, key, sock))

    def _ready_is_noted(self, kind: str, key: str, sock: socket.socket) -> None:
        if self._sockets.get(key, {}).get(kind) is sock:  # else it was closed meanwhile
            self._noted.add(key)
            self._listen(kind, key, sock)

    def _unwatch(self, sock: socket.socket) -> None:
        with contextlib.suppress(KeyError):  # it is not read any more
            self._selector.unregister(sock)

    def _read_datagram(self, key: str, sock: socket.socket) -> None:
        """Take in some of what an instance has notified, as one notification."""
        found = notify.Notification()
        received: list[int] = []
        senders: dict[tuple[int, int], bool] = {}

        def is_its_own(sender: tuple[int, int]) -> bool:
            if sender not in senders:
                senders[sender] = self._speaks(key, *sender)
            return senders[sender]

        is_ready = False
        for _ in range(MESSAGES_PER_TURN):
            try:
                if key not in self._noted:
                    said = _next_datagram(sock)
                    is_ready = said[0].ready and is_its_own(said[1])
                if is_ready:
                    break
                datagram, ancillary, _, _ = sock.recvmsg(
                    DATAGRAM_BYTES, disposal.ROOM_BYTES
                )
            except OSError:
                break  # there is none, or it waits for memory
            received += disposal.descriptors_in(ancillary)
            if is_its_own(peer.sender_of(ancillary)):
                found = found.then(notify.parse_datagram(datagram))
            if received:
                break
        if found != notify.Notification():
            self._receive(key, found)
        if is_ready:
            self._is_ready("notify", key, sock)
        # Also the answer to BARRIER=1: all before it was taken in (sd_notify(3)).
        if not disposal.close_all(received):
            self._unwatch(sock)

    def _read_lines(self, key: str, sock: socket.socket) -> None:
        received: list[int] = []
        try:
            if key not in self._noted and self._says_ready(key, sock):
                self._is_ready("channel", key, sock)
                return
            piece, ancillary, _, _ = sock.recvmsg(PIECE_BYTES, disposal.ROOM_BYTES)
            received = disposal.descriptors_in(ancillary)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not disposal.close_all(received):
            self._unwatch(sock)  # Node sends handles; one that we wait for is the last
        if not piece:
            self._unwatch(sock)
            sock.close()
            del self._sockets[key]["channel"]
            self._keeper.release(f"channel/{key}")
            return
        found, rest = notify.parse_lines(self._partial.get(key, b"") + piece)
        self._partial[key] = rest
        if found != notify.Notification():
            self._receive(key, found)

    def _says_ready(self, key: str, sock: socket.socket) -> bool:
        """Return whether that is on the channel, without a change.  Raises OSError."""
        piece, ancillary, _, _ = sock.recvmsg(
            PIECE_BYTES, disposal.ROOM_BYTES, socket.MSG_PEEK
        )
        disposal.close_all(disposal.descriptors_in(ancillary))
        return notify.says_ready(self._partial.get(key, b"") + piece)


def _next_datagram(sock: socket.socket) -> tuple[notify.Notification, tuple[int, int]]:
    """Return the next datagram and its sender, and leave it there.  Raises OSError."""
    datagram, ancillary, _, _ = sock.recvmsg(
        DATAGRAM_BYTES, disposal.ROOM_BYTES, socket.MSG_PEEK
    )
    # Copies of descriptors that are still there: none is the last to be closed.
    disposal.close_all(disposal.descriptors_in(ancillary))
    return notify.parse_datagram(datagram), peer.sender_of(ancillary)
