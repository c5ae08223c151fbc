"""The supervisor's end of the connection to the keeper (spec/keeper.md).

Rule: note before letting go.  What gives something up waits until the notes that do without
it were sent: `forget`, `release`, `end`, the answers that let a program go on, and what is
taken out of a socket (`when_noted`).  A supervisor that dies in between is followed by one
that finds it all still there, and does it again.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
from collections.abc import Callable
from typing import Any

from gapless.base import clock, descriptors, interpreter, wire
from gapless.base.errors import GaplessError

MOST_EVENTS = 250
"""Are taken in at a time; then the others of the loop have their turn."""
LACKING = "lacking"
"""The field of an event whose descriptors this process had no room for: why."""


class KeeperLostError(GaplessError):
    """The keeper is gone."""

    kind = "unavailable"


class KeeperConnection:
    """Asks the keeper to act.

    Every method raises KeeperLostError if it is gone, and OSError if this process is out
    of descriptors: then nothing was asked.
    """

    def __init__(self, channel: wire.Channel) -> None:
        self.channel = channel
        self.incarnation = ""
        """The keeper's; empty if it is of a version that has none."""
        self.version = ""
        """The version that runs; empty if it is one that does not say."""
        self._letting_go: list[wire.Message] = []
        """What is sent after the next notes, in this order."""
        self._when_noted: list[Callable[[], None]] = []
        self._noted: dict[str, Any] = {}
        self.ending = False
        """It has been asked to end: then its end is no loss."""
        self._unread_since = 0.0
        """Since when it has something to read, if it has."""

    def silent_s(self) -> float:
        """Return for how long the keeper has not read what was sent.

        One that has read all is sent something: the next who asks knows more.
        """
        if self.channel.is_unread():
            return clock.monotonic() - self._unread_since
        self._send({"op": "ping"})
        return 0.0

    def _send(self, message: wire.Message, copied: tuple[int, ...] = ()) -> None:
        if not self.channel.is_unread():
            self._unread_since = clock.monotonic()
        try:
            self.channel.send(message, copied)
        except ConnectionError as error:
            raise KeeperLostError from error

    def hold(self, name: str, meta: Any, descriptor: int) -> None:
        """Let the keeper hold a copy of *descriptor*, so that it outlives us.

        A copy of that name that it holds already is replaced.
        """
        release = {"op": "release", "name": name}
        self._letting_go = [each for each in self._letting_go if each != release]
        self._send({"op": "hold", "name": name, "meta": meta}, (descriptor,))

    def release(self, name: str) -> None:
        """Let the keeper close its copy; it sends `released` when it has."""
        self._letting_go.append({"op": "release", "name": name})

    def note(self, name: str, value: Any) -> None:
        """Let the keeper remember *value*, None to forget it; sends nothing twice."""
        if self._noted.get(name) != value:
            self._send({"op": "note", "name": name, "value": value})
            self._noted[name] = value

    def noted(self, name: str) -> Any:
        """Return what the keeper was given to remember by a name; None for nothing."""
        return self._noted.get(name)

    def spawn(self, message: dict[str, Any], placed: dict[int, socket.socket]) -> None:
        """Start a process; what is *placed* gets the given numbers in it."""
        fields = {"op": "spawn", "targets": list(placed), **message}
        self._send(fields, tuple(s.fileno() for s in placed.values()))

    def take(self, message: dict[str, Any], *descriptors: int) -> None:
        """Let the keeper have a process that lives: its pidfd, and its pipes."""
        self._send({"op": "take", **message}, descriptors)

    def duplicate(self, name: str, pid: int, descriptor: int) -> None:
        """Ask for a duplicate of a descriptor of a process; it comes by that name."""
        fields = {"name": name, "pid": pid, "descriptor": descriptor}
        self._send({"op": "duplicate", **fields})

    def follow(self, key: str, pid: int, pidfd: int) -> None:
        """Let a process take the place of a child that went into the background."""
        self._send({"op": "follow", "key": key, "pid": pid}, (pidfd,))

    def answer(self, key: str, call: int, action: str, **fields: Any) -> None:
        """Answer a system call: proceed, done, inject (held) or fail (errno)."""
        message = {"op": "answer", "key": key, "id": call, "action": action}
        self._letting_go.append(message | fields)

    def forget(self, key: str) -> None:
        """Drop what the keeper remembers of a process that has ended."""
        self._letting_go.append({"op": "forget", "key": key})

    def renew(self) -> None:
        """Let the keeper become the version that is installed where this one is."""
        self._send(
            {"op": "renew", "argv": interpreter.python("gapless.keeper.run", [])}
        )

    def end(self) -> None:
        """Let the keeper end with its last child; sends nothing twice."""
        if not self.ending:
            self.ending = True
            self._letting_go.append({"op": "end"})

    def let_go(self) -> None:
        """Send what had to wait for the notes; they have been sent by now."""
        waiting, self._letting_go = self._letting_go, []
        for message in waiting:
            self._send(message)

    def when_noted(self, call: Callable[[], None]) -> None:
        """Call *call* when the notes of this turn of the loop are with the keeper."""
        self._when_noted.append(call)

    def flush(self) -> bool:
        """Send what waits; return whether nothing is left."""
        try:
            return self.channel.flush()
        except ConnectionError as error:
            raise KeeperLostError from error

    def flush_within(self, limit_s: float) -> None:
        """Send all that waits; what is left after *limit_s* is lost with this process."""
        until = clock.monotonic() + limit_s
        while not self.flush() and (left_s := until - clock.monotonic()) > 0:
            descriptors.is_ready(self.channel.fileno(), select.POLLOUT, left_s)

    def flush_in(
        self, selector: selectors.BaseSelector, receive: Callable[[], None]
    ) -> None:
        """Send what waits at the end of a turn, in which the notes were sent.

        While something is left, also wait for room in the socket.
        """
        events = selectors.EVENT_READ
        if self.flush():
            waiting, self._when_noted = self._when_noted, []
            for call in waiting:
                call()
        else:
            events |= selectors.EVENT_WRITE
        key = selector.get_map().get(self.channel.sock.fileno())
        if key is not None and key.events != events:
            selector.modify(self.channel.sock, events, receive)

    def events(self) -> list[tuple[wire.Message, list[int]]]:
        """Return what the keeper sent since the last call.

        The caller closes the descriptors.  What is no message is an event `unreadable`.
        """
        received: list[tuple[wire.Message, list[int]]] = []
        while len(received) < MOST_EVENTS:
            try:
                received.append(self.channel.receive())
            except BlockingIOError:
                return received
            except wire.LackingError as error:
                received.append(({**error.message, LACKING: str(error)}, []))
            except ValueError as error:
                received.append(({"event": "unreadable", "reason": str(error)}, []))
            except (EOFError, ConnectionError) as error:
                raise KeeperLostError from error
            except OSError:  # out of memory: what has come waits
                descriptors.pause()
                return received
        return received


def close_all(unwanted: list[int]) -> None:
    """Close descriptors that came with an event and are not wanted."""
    while unwanted:
        os.close(unwanted.pop())
