"""What instances notify while no supervisor reads it: the keeper does, and keeps it.

The kernel keeps ten datagrams for a socket that nobody reads (net.unix.max_dgram_qlen);
then a program waits in sd_notify(3).

Rule 1: while a supervisor reads, the keeper leaves all to it.  It looks whether a datagram
is still there after `PATIENCE_S`, at most once in that time for each instance.
Rule 2: what the keeper has read is passed on as it came, with its sender; what is kept of
an instance is bounded.
Rule 3: that an instance is ready is not lost, whoever dies.  It is put where it outlives
the keeper before it is taken out of the socket, and every supervisor is told of it for as
long as the socket is held: one may die before it has noted it.
"""

from __future__ import annotations

import collections
import contextlib
import json
import select
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from gapless.base import clock, wire
from gapless.base.kernel import peer
from gapless.base.outside import disposal
from gapless.keeper.guardian.reserve import Reserve

KIND = "notify/"
"""How the names of these sockets begin, among what the keeper holds."""
READY = "ready/"
"""How the names begin by which the datagrams are kept that say that one is ready."""
PATIENCE_S = 1.0
DATAGRAM_BYTES = 4096
MESSAGES_PER_TURN = 16
"""Of one instance; then the others have their turn."""
MOST_KEPT = 16
_READY = b"READY=1"
Send = Callable[[wire.Message], None]
Said = tuple[int, int, bytes]
"""Pid and uid of the sender, and the datagram."""


@dataclass(slots=True)
class _Socket:
    """The socket of an instance, and what was read of it."""

    sock: socket.socket
    look_at: float | None = None
    """When to look whether somebody reads it; None while the keeper waits for more."""
    ready: list[Said] = field(default_factory=list)
    """The first datagrams that say that the instance is ready."""
    told: int = 0
    """Of how many of those the supervisor that is there was told."""
    kept: collections.deque[Said] = field(
        default_factory=lambda: collections.deque(maxlen=MOST_KEPT)
    )

    @property
    def has_some(self) -> bool:
        """Whether there is something that the supervisor was not told of."""
        return len(self.ready) > self.told or bool(self.kept)

    def take(self) -> list[Said]:
        """Return that; it is told of it now."""
        found = [*self.ready[self.told :], *self.kept]
        self.told = len(self.ready)
        self.kept.clear()
        return found


class Unheard:
    """The notify sockets of all instances."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        send: Send,
        unread: Callable[[], bool | None],
        reserve: Reserve,
    ) -> None:
        """Use *unread* to ask whether something that was sent has not been read.

        It returns None while there is no supervisor.
        """
        self._selector, self._send, self._unread = selector, send, unread
        self._reserve = reserve
        self._sockets: dict[str, _Socket] = {}
        """By the key of the instance."""
        self._silent = False
        """Whether the supervisor that is there does not read."""
        self._pass_on_at: float | None = None

    def held(self, name: str, descriptor: int) -> None:
        """Look after a descriptor that the keeper has begun to hold, if it is one.

        It may take the place of another one, which is left alone then.
        """
        if not name.startswith(KIND):
            return
        key = name.removeprefix(KIND)
        found = _Socket(socket.socket(fileno=descriptor))
        if (before := self._sockets.get(key)) is not None:
            self._leave(before)
            found.ready, found.told, found.kept = before.ready, before.told, before.kept
        else:
            found.ready = _kept(self._reserve.value(f"{READY}{key}"))
        self._sockets[key] = found
        self._watch(key)

    def released(self, name: str) -> None:
        """Leave a socket alone that the keeper is about to close."""
        key = name.removeprefix(KIND)
        found = self._sockets.pop(key, None)
        if found is not None:
            self._leave(found)
            self._reserve.drop(f"{READY}{key}")

    def _leave(self, found: _Socket) -> None:
        self._unwatch(found)
        found.sock.detach()

    def _watch(self, key: str) -> None:
        found = self._sockets[key]
        found.look_at = None
        if found.sock.fileno() not in self._selector.get_map():
            self._selector.register(
                found.sock, selectors.EVENT_READ, lambda: self._came(key)
            )

    def _unwatch(self, found: _Socket) -> None:
        if found.sock.fileno() in self._selector.get_map():
            self._selector.unregister(found.sock)

    # --- time ---------------------------------------------------------------------------

    def wait_s(self) -> float | None:
        """Return after how long `look` has something to do; None for never."""
        until = [each.look_at for each in self._sockets.values()]
        known = [at for at in (*until, self._pass_on_at) if at is not None]
        return min(known) - clock.monotonic() if known else None

    def look(self) -> None:
        """Read what nobody has read for long; pass it on to who reads again."""
        now = clock.monotonic()
        for key, found in list(self._sockets.items()):
            if found.look_at is not None and found.look_at <= now:
                self._watch(key)
                if _has_datagram(found.sock):
                    self._silent = self._unread() is not None
                    self._take(key)
        if self._pass_on_at is not None and self._pass_on_at <= now:
            self.pass_on()

    def pass_on(self) -> None:
        """Send what was kept to the supervisor, unless it has something to read already.

        It does not count as silent any more once it has read that.
        """
        self._pass_on_at = None
        unread = self._unread()
        if unread is None:
            return  # the next supervisor is told when it comes
        kept = {key: each for key, each in self._sockets.items() if each.has_some}
        if kept and unread and self._silent:
            self._pass_on_at = clock.monotonic() + PATIENCE_S
            return
        for key, found in kept.items():
            said = _plain(found.take())
            self._send({"event": "notified", "key": key, "said": said})

    def supervisor_lost(self) -> None:
        """Note that who was silent is gone; the next one is told of all who are ready."""
        self._silent = False
        for each in self._sockets.values():
            each.told = 0

    # --- reading ------------------------------------------------------------------------

    def _came(self, key: str) -> None:
        """Read, unless a supervisor will."""
        found = self._sockets[key]
        unread = self._unread()
        self._silent = self._silent and unread is not False
        if unread is None or self._silent:
            self._take(key)
            return
        self._unwatch(found)
        found.look_at = clock.monotonic() + PATIENCE_S

    def _take(self, key: str) -> None:
        """Read some datagrams, and keep them."""
        found, received = self._sockets[key], list[int]()
        for _ in range(MESSAGES_PER_TURN):
            try:
                if len(found.ready) < MOST_KEPT:
                    self._keep_ready(key, found)
                said, received = _read(found.sock)
            except OSError:
                break  # there is none, or it waits for memory
            if said not in found.ready:
                found.kept.append(said)
            if received:
                break
        # Also the answer to BARRIER=1: all before it was taken in (sd_notify(3)).
        if not disposal.close_all(received):
            self._unwatch(found)
        if self._unread() is not None:
            self._pass_on_at = self._pass_on_at or clock.monotonic()

    def _keep_ready(self, key: str, found: _Socket) -> None:
        """Keep the next datagram, if it says that the instance is ready.

        It is still in the socket.  Raises OSError if there is none.
        """
        said, received = _read(found.sock, socket.MSG_PEEK)
        disposal.close_all(received)  # copies of those that are still there
        if _READY in said[2].split(b"\n") and said not in found.ready:
            found.ready.append(said)
            self._reserve.put(f"{READY}{key}", json.dumps(_plain(found.ready)).encode())


def _has_datagram(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _read(sock: socket.socket, how: int = 0) -> tuple[Said, list[int]]:
    """Return a datagram, and the descriptors that came with it.  Raises OSError."""
    content, ancillary, _, _ = sock.recvmsg(
        DATAGRAM_BYTES, disposal.ROOM_BYTES, socket.MSG_DONTWAIT | how
    )
    return (*peer.sender_of(ancillary), content), disposal.descriptors_in(ancillary)


def _plain(said: list[Said]) -> list[list[int | str]]:
    """Return datagrams as they are written down; bytes that are no text survive."""
    return [
        [pid, uid, content.decode(errors="surrogateescape")]
        for pid, uid, content in said
    ]


def _kept(value: bytes | None) -> list[Said]:
    """Return the datagrams that a keeper before this one has written down."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return [
            (int(pid), int(uid), content.encode(errors="surrogateescape"))
            for pid, uid, content in json.loads(value or b"[]")
        ]
    return []
