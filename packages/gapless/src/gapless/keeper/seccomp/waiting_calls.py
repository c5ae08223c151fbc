"""System calls of instances that wait for the supervisor's answer.

What it answers is done here, with the rights over an instance that only an ancestor has.
A call that no supervisor answers within `ORPHAN_S` proceeds as if there were no filter.
"""

from __future__ import annotations

import errno
import os
import selectors
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gapless.base import clock, wire
from gapless.keeper.seccomp import interception
from gapless.keeper.seccomp.interception import Notification

ORPHAN_S = 10.0


class Tell(Protocol):
    """Tells the supervisor something, if there is one."""

    def __call__(self, message: wire.Message, *descriptors: int) -> None:
        """Send one message."""


@dataclass(slots=True)
class Pending:
    """A call that waits."""

    key: str
    notify: int
    notification: Notification
    orphaned: float | None = None
    """Since when no supervisor is there to answer it."""


class Calls:
    """Every call that waits, of every instance."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        held: Mapping[str, tuple[Any, int]],
        tell: Tell,
        has_supervisor: Callable[[], bool],
    ) -> None:
        self._selector, self._held, self._tell = selector, held, tell
        self._has_supervisor = has_supervisor
        self._notify: dict[str, int] = {}
        self._pending: dict[tuple[str, int], Pending] = {}

    def watch(self, key: str, notify: int) -> None:
        """Hear the calls of an instance; *notify* is ours from now on."""
        self._notify[key] = notify
        self._selector.register(
            notify, selectors.EVENT_READ, lambda: self._receive(key, notify)
        )

    def drop(self, key: str) -> None:
        """Stop to hear an instance of which nothing is left."""
        notify = self._notify.pop(key, None)
        if notify is None:
            return
        self._selector.unregister(notify)
        os.close(notify)
        for place in [place for place in self._pending if place[0] == key]:
            del self._pending[place]

    def orphan(self) -> None:
        """Begin to wait for another supervisor."""
        for pending in self._pending.values():
            pending.orphaned = clock.monotonic()

    def tell_all(self) -> None:
        """Tell a new supervisor what waits."""
        for pending in list(self._pending.values()):
            pending.orphaned = None
            self._announce(pending)

    def wait_s(self) -> float | None:
        """Return after how long `proceed_with_orphans` has something to do."""
        since = [p.orphaned for p in self._pending.values() if p.orphaned is not None]
        return min(since) + ORPHAN_S - clock.monotonic() if since else None

    def proceed_with_orphans(self) -> None:
        """Let go what has waited too long for a supervisor."""
        now = clock.monotonic()
        for pending in list(self._pending.values()):
            if pending.orphaned is not None and now >= pending.orphaned + ORPHAN_S:
                self._proceed(pending)

    def answer(self, message: wire.Message) -> None:
        """Do what the supervisor answers.  Raises KeyError, ValueError."""
        pending = self._pending.pop((message["key"], message["id"]), None)
        if pending is None:
            return
        notify, identity = pending.notify, pending.notification.id
        match message["action"]:
            case "proceed":
                interception.proceed(notify, identity)
            case "done":
                interception.answer(notify, identity)
            case "fail":
                interception.answer(notify, identity, message["errno"])
            case "inject":
                self._inject(pending, message["held"])
            case other:
                interception.proceed(notify, identity)
                raise ValueError(f"no such answer: {other}")

    def _receive(self, key: str, notify: int) -> None:
        try:
            notification = interception.receive(notify)
        except OSError:
            self.drop(key)
            return
        if notification is None:
            if interception.is_over(notify):
                self.drop(key)
            return
        if not notification.concerns_us:
            interception.proceed(notify, notification.id)
            return
        pending = Pending(key, notify, notification)
        if not self._has_supervisor():
            pending.orphaned = clock.monotonic()
        self._pending[key, notification.id] = pending
        self._announce(pending)

    def _announce(self, pending: Pending) -> None:
        call = pending.notification
        message: wire.Message = {
            "event": call.call,
            "key": pending.key,
            "id": call.id,
            "pid": call.pid,
            "descriptor": call.descriptor,
        }
        if call.address is not None:
            message["host"], message["port"] = call.address.host, call.address.port
        try:
            copy = interception.duplicate(call.pid, call.descriptor)
        except OSError:
            self._proceed(pending)
            return
        try:
            self._tell(message, copy)
        finally:
            os.close(copy)

    def _inject(self, pending: Pending, held: str) -> None:
        """Put a held socket in the place of the instance's own."""
        notify, call = pending.notify, pending.notification
        if held not in self._held:
            interception.answer(notify, call.id, errno.EADDRNOTAVAIL)
            return
        if interception.watched_by_epoll(call.pid, call.descriptor):
            # The registration would stay with the socket that is replaced.
            interception.answer(notify, call.id, errno.EOPNOTSUPP)
            reason = "it registered the socket with epoll before bind"
            self._tell({"event": "deaf", "key": pending.key, "reason": reason})
            return
        flags = interception.descriptor_flags(call.pid, call.descriptor)
        if not interception.is_valid(notify, call.id):
            return  # it is gone, and what was read of it means nothing
        sock = self._held[held][1]
        if flags & os.O_NONBLOCK:
            # Never the other way: others may accept from it already, and a program that
            # makes its socket non-blocking after bind would hang in accept.
            os.set_blocking(sock, False)
        cloexec = bool(flags & os.O_CLOEXEC)
        interception.inject(notify, call.id, sock, call.descriptor, cloexec=cloexec)

    def _proceed(self, pending: Pending) -> None:
        self._pending.pop((pending.key, pending.notification.id), None)
        interception.proceed(pending.notify, pending.notification.id)
