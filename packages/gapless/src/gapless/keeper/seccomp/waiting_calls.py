"""System calls of instances that wait for the supervisor's answer.

The keeper carries out each answer: as an ancestor of the instance it has the ptrace rights
that this needs.  A call that has waited too long without a supervisor (`UNANSWERED_S`)
proceeds as if there were no filter.  A supervisor that is there and does not answer for as
long is silent: from then on it counts as one that is not there, until it says something.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import struct
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from gapless.base import clock, codec, descriptors, wire
from gapless.keeper.guardian.reserve import Reserve
from gapless.keeper.guardian.scratch import Scratch
from gapless.keeper.seccomp import caller, notifications
from gapless.keeper.seccomp.notifications import Notification, Wanted

UNANSWERED_S = {"bind": 10.0, "listen": 10.0, "unlink": 5.0, "connect": 0.0}
"""How long each call waits for the next supervisor, by its name.

A path that is removed is away for all clients until that one puts it back, so an unlink
waits as long as the next supervisor usually needs; it may also be the end of a program.
Who connects is a client, most of the time.
"""
AT_LEAST_S = 3.0
"""How long a supervisor that is there may take for each answer: it may be busy."""
LATE_S = 1.0
"""A keeper that looks so late was stopped itself: the supervisor has its time again."""
_ABOUT_PLACES = ("connect", "unlink")
NOTIFY, CALL = "notify/", "call/"
"""How the names begin by which notification descriptors, and calls that wait, are kept."""
MOST_WAITING = 64
"""Of an instance; its other calls wait in the kernel until one of these is answered."""
HIGHEST_ERRNO = 4095  # MAX_ERRNO of the kernel


class Send(Protocol):
    """Sends a message to the supervisor; does nothing while there is none."""

    def __call__(self, message: wire.Message, *descriptors: int) -> None:
        """Send one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The supervisor's answer to a system call (spec/keeper.md)."""

    key: str
    id: int
    action: str
    held: str = ""
    errno: int = 0


@dataclass(slots=True)
class WaitingCall:
    """A system call that waits."""

    key: str
    notify: int
    notification: Notification
    since: float
    """Since when it waits for the supervisor, or for the next one."""
    announced: bool = False
    """Whether the supervisor that is there has been told of it."""
    limit_s: float = 0.0
    """How long it waits at most."""

    @property
    def due_at(self) -> float:
        """When it proceeds."""
        return self.since + self.limit_s


class WaitingCalls:
    """The waiting system calls of all instances."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        held: Mapping[str, int],
        send: Send,
        has_supervisor: Callable[[], bool],
        *,
        reserve: Reserve,
        scratch: Scratch,
        paths: Callable[[], Collection[str]] = tuple,
        ports: Callable[[], Collection[int]] = tuple,
        close_descriptor: Callable[[int], None] = os.close,
    ) -> None:
        """Use *held*, the descriptors that the keeper holds by name, to inject.

        *paths* and *ports* are the Unix-domain paths and TCP ports of those of them that
        have one.
        *close_descriptor* closes what was sent, once it is on its way.
        """
        self._close = close_descriptor
        self._reserve, self._scratch = reserve, scratch
        self._selector, self._held, self._send = selector, held, send
        self._paths, self._ports = paths, ports
        self._has_supervisor = has_supervisor
        self._notify: dict[str, int] = {}
        self._waiting: dict[tuple[str, int], WaitingCall] = {}
        self._counts: Counter[str] = Counter()
        """How many calls of an instance wait."""
        self._bound: dict[str, set[int]] = {}
        """The TCP ports that an instance has bound."""
        self._silent = False
        """Whether the supervisor that is there has let a call wait too long."""

    # --- instances --------------------------------------------------------------------

    def keep(self, key: str, notify: int) -> None:
        """Keep the descriptor of an instance that begins."""
        self._reserve.put(f"{NOTIFY}{key}", b"", notify)

    def drop(self, key: str) -> None:
        """Undo `keep`: the instance did not begin."""
        self._reserve.drop(f"{NOTIFY}{key}")

    def watch(self, key: str, notify: int) -> None:
        """Receive the calls of an instance; *notify* is closed here."""
        self._notify[key] = notify
        self._listen(key, notify)

    def keys(self) -> set[str]:
        """Return the instances whose calls are received."""
        return set(self._notify)

    def recover(self) -> None:
        """Go on with the instances, and the calls, of a keeper before this one."""
        for key, kept in self._reserve.named(NOTIFY).items():
            if kept.descriptors:
                self._notify[key] = kept.descriptors[0]
                self._listen(key, kept.descriptors[0])
        for name, kept in self._reserve.named(CALL).items():
            waiting = self._read(name.rpartition("/")[0], kept.value)
            if waiting is not None:
                self._waits(waiting)
            else:
                self._reserve.drop(f"{CALL}{name}")
        received = self._scratch.received()
        if received is not None:
            self._recover(*received)
        self._scratch.end_receiving()

    def _read(self, key: str, value: bytes) -> WaitingCall | None:
        """Return a call that still waits; None for one that does not."""
        try:
            call = codec.decode(Notification, json.loads(value), "call")
            notify = self._notify[key]
        except (LookupError, ValueError):
            return None
        valid = notifications.is_valid(notify, call.id)
        return WaitingCall(key, notify, call, clock.monotonic()) if valid else None

    def _recover(self, key: str, raw: bytes) -> None:
        """Take a call that was being received, unless it was answered or noted since."""
        notify = self._notify.get(key)
        (number,) = struct.unpack_from("=Q", raw)
        noted = (key, number) in self._waiting
        if notify is None or noted or not notifications.is_valid(notify, number):
            return
        found = notifications.observe(notify, raw, self._wanted(key))
        if found is not None:
            self._take(key, notify, found)

    def has_process(self, key: str) -> bool:
        """Return whether a process is under the filter of an instance: it cannot leave it.

        An instance without a filter has none that is known.
        """
        notify = self._notify.get(key)
        return notify is not None and not notifications.has_no_process(notify)

    def unwatch(self, key: str) -> None:
        """Stop watching an instance that has no process left."""
        notify = self._notify.pop(key, None)
        if notify is None:
            return
        self._reserve.drop(f"{NOTIFY}{key}")
        with contextlib.suppress(KeyError):  # enough of its calls wait
            self._selector.unregister(notify)
        os.close(notify)
        for place in [place for place in self._waiting if place[0] == key]:
            del self._waiting[place]
            self._reserve.drop(f"{CALL}{key}/{place[1]}")
        self._counts.pop(key, None)
        self._bound.pop(key, None)

    def _listen(self, key: str, notify: int) -> None:
        self._selector.register(
            notify, selectors.EVENT_READ, lambda: self._receive(key, notify)
        )

    def _waits(self, waiting: WaitingCall) -> None:
        """Note a call that waits; receive no more of an instance that has many."""
        key, call = waiting.key, waiting.notification
        self._waiting[key, call.id] = waiting
        encoded = json.dumps(codec.encode(call)).encode()
        self._reserve.put(f"{CALL}{key}/{call.id}", encoded)
        self._counts[key] += 1
        if self._counts[key] >= MOST_WAITING:
            self._selector.unregister(waiting.notify)

    def _waits_no_more(self, key: str, call: int) -> None:
        if self._waiting.pop((key, call), None) is None:
            return
        self._reserve.drop(f"{CALL}{key}/{call}")
        self._counts[key] -= 1
        if self._counts[key] == MOST_WAITING - 1:
            self._listen(key, self._notify[key])

    def _receive(self, key: str, notify: int) -> None:
        try:
            buffer = self._scratch.begin_to_receive(key)
            notification = notifications.receive(notify, self._wanted(key), buffer)
        except OSError as error:
            if descriptors.is_shortage(error):
                descriptors.pause()  # it is received at the next try
            else:
                self.unwatch(key)
            return
        if notification is not None:
            self._take(key, notify, notification)
        elif notifications.has_no_process(notify):
            self.unwatch(key)
            self._send({"event": "emptied", "key": key})
        self._scratch.end_receiving()

    def _served_paths(self) -> Collection[str]:
        """Return the paths of sockets that are held, or are being bound.

        The supervisor binds a path before it lets it be held: a program that sees it then
        may take it for one that was left over, and remove it.
        """
        waiting = (each.notification for each in self._waiting.values())
        bound = [each.path for each in waiting if each.call == "bind" and each.path]
        return {*self._paths(), *bound} if bound else self._paths()

    def _wanted(self, key: str) -> Wanted:
        names = {os.path.basename(path) for path in self._served_paths()}
        bound = self._bound.get(key, ())
        return Wanted(names=names, ports=self._ports(), bound=bound)

    def _has_bound(self, key: str, call: Notification) -> None:
        if call.call == "bind" and call.tcp and call.address is not None:
            self._bound.setdefault(key, set()).add(call.address.port)

    def _take(self, key: str, notify: int, notification: Notification) -> None:
        """Let a call wait that is the supervisor's to answer; others proceed."""
        path, about_places = notification.path, notification.call in _ABOUT_PLACES
        if not notification.is_for_supervisor or (
            about_places and path and path not in self._served_paths()
        ):
            notifications.proceed(notify, notification.id)
            return
        waiting = WaitingCall(key, notify, notification, clock.monotonic())
        self._waits(waiting)
        if self._silent or not self._has_supervisor():
            self._begin_to_wait(waiting)
            return
        self._announce(waiting)

    # --- the supervisor ---------------------------------------------------------------

    def supervisor_lost(self) -> None:
        """Begin to wait for the next supervisor."""
        self._silent = False
        for waiting in list(self._waiting.values()):
            self._begin_to_wait(waiting)

    def supervisor_spoke(self) -> None:
        """Note that the supervisor does something: it is told of what it was not."""
        if self._silent:
            self._silent = False
            self.announce_all()

    def _begin_to_wait(self, waiting: WaitingCall) -> None:
        """Wait for the next supervisor, or let a call proceed that does not."""
        call = waiting.notification
        waiting.since, waiting.announced = clock.monotonic(), False
        waiting.limit_s = UNANSWERED_S[call.call]
        if self._silent:  # it has been waited for already
            waiting.limit_s = min(waiting.limit_s, AT_LEAST_S)
        if not waiting.limit_s or (call.call == "listen" and not self._is_held(call)):
            self._proceed(waiting)

    def _is_held(self, call: Notification) -> bool:
        """Return whether a call is about a socket that the keeper holds.

        One that a program has bound by itself joins no group when it listens.
        """
        try:
            sock = caller.duplicate(call.pid, call.descriptor)
        except OSError:
            return True  # nothing is known
        try:
            own = os.fstat(sock)
            held = self._held.values()
            return any(os.path.samestat(own, os.fstat(each)) for each in held)
        finally:
            os.close(sock)

    def announce_all(self) -> None:
        """Send a supervisor every call that waits, and that it was not told of."""
        for waiting in list(self._waiting.values()):
            if not waiting.announced:
                waiting.since = clock.monotonic()
                self._announce(waiting)

    def wait_s(self) -> float | None:
        """Return after how long `expire` has something to do; None for never."""
        until = [waiting.due_at for waiting in self._waiting.values()]
        return min(until) - clock.monotonic() if until else None

    def expire(self) -> None:
        """Let calls proceed that have waited too long for a supervisor."""
        now = clock.monotonic()
        for waiting in list(self._waiting.values()):
            late_s = now - waiting.due_at
            if late_s < 0:
                continue
            if waiting.announced and late_s > LATE_S:
                waiting.since = now
                continue
            if waiting.announced:
                self._withdraw(waiting)
            self._proceed(waiting)

    def _withdraw(self, waiting: WaitingCall) -> None:
        """Tell a supervisor that is silent, for later, what does not wait any more."""
        self._silent = True
        call = waiting.notification
        event = {"event": "withdrawn", "key": waiting.key, "id": call.id}
        self._send({**event, "call": call.call})

    def _announce(self, waiting: WaitingCall) -> None:
        call = waiting.notification
        waiting.announced = True
        waiting.limit_s = max(UNANSWERED_S[call.call], AT_LEAST_S)
        message: wire.Message = {
            "event": call.call,
            "key": waiting.key,
            "id": call.id,
            "pid": call.pid,
            "descriptor": call.descriptor,
        }
        if call.address is not None:
            message["host"], message["port"] = call.address.host, call.address.port
            message["kind"] = call.kind.value
            message["may_bind"] = call.may_bind
        if call.path:
            message["path"] = call.path
        if call.identity is not None:
            message["identity"] = codec.encode(call.identity)
        if call.descriptor < 0:
            self._send(message)
            return
        try:
            copy = descriptors.with_spare(
                lambda: caller.duplicate(call.pid, call.descriptor)
            )
        except OSError as error:
            if descriptors.is_shortage(error):
                self._fail(waiting, error.errno or errno.EMFILE)
            else:
                self._proceed(waiting)
            return
        try:
            self._send(message, copy)
        finally:
            self._close(copy)

    # --- its answers ------------------------------------------------------------------

    def answer(self, message: Answer) -> None:
        """Carry out an answer of the supervisor.  Raises ValueError, OSError.

        A call whose answer cannot be carried out proceeds.
        """
        waiting = self._waiting.get((message.key, message.id))
        if waiting is None:
            return
        try:
            self._carry_out(waiting, message)
        except BaseException:
            self._proceed(waiting)
            raise
        self._waits_no_more(message.key, message.id)
        if message.action != "fail":
            self._has_bound(message.key, waiting.notification)

    def _carry_out(self, waiting: WaitingCall, message: Answer) -> None:
        notify, notification_id = waiting.notify, waiting.notification.id
        match message.action:
            case "proceed":
                notifications.proceed(notify, notification_id)
            case "done":
                notifications.answer(notify, notification_id)
            case "fail" if 0 < message.errno <= HIGHEST_ERRNO:
                notifications.answer(notify, notification_id, message.errno)
            case "inject":
                self._inject(waiting, message.held)
            case other:
                raise ValueError(f"there is no answer {other[:80]} {message.errno}")

    def _inject(self, waiting: WaitingCall, held: str) -> None:
        """Put a held socket in the place of the instance's own."""
        notify, call = waiting.notify, waiting.notification
        if held not in self._held:
            reason = f"the keeper does not hold {held}"
            self._send({"event": "deaf", "key": waiting.key, "reason": reason})
            notifications.answer(notify, call.id, errno.EADDRNOTAVAIL)
            return
        if caller.is_watched_by_epoll(call.pid, call.descriptor):
            # The registration would stay with the socket that is replaced, so the
            # instance would never get an event of the held one: it would be deaf.
            notifications.answer(notify, call.id, errno.EOPNOTSUPP)
            reason = "it registered the socket with epoll before bind"
            self._send({"event": "deaf", "key": waiting.key, "reason": reason})
            return
        flags = caller.descriptor_flags(call.pid, call.descriptor)
        if not notifications.is_valid(notify, call.id):
            return  # the caller is gone, and the flags may be those of another process
        sock = self._held[held]
        if flags & os.O_NONBLOCK:
            # Never the other way: other processes may accept from it already, and a
            # program that makes its socket non-blocking after bind would hang in accept.
            os.set_blocking(sock, False)
        cloexec = bool(flags & os.O_CLOEXEC)
        notifications.inject(notify, call.id, sock, call.descriptor, cloexec=cloexec)

    def _fail(self, waiting: WaitingCall, number: int) -> None:
        try:
            notifications.answer(waiting.notify, waiting.notification.id, number)
        finally:
            self._waits_no_more(waiting.key, waiting.notification.id)

    def _proceed(self, waiting: WaitingCall) -> None:
        try:
            notifications.proceed(waiting.notify, waiting.notification.id)
        finally:
            self._waits_no_more(waiting.key, waiting.notification.id)
