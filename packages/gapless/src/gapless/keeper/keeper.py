"""The keeper: the parent of every instance, and the holder of their sockets.

Rule 1: it decides nothing.  It does what the supervisor asks for, and reports what
happened.
Rule 2: it outlives every supervisor.  A new supervisor gets all that the keeper has:
children and how they ended, descriptors by name, notes, and the system calls that wait.
Rule 3: no instance waits for a supervisor for good.  Log pipes are always emptied
(`logs.streams`), a system call without an answer proceeds (`seccomp.waiting_calls`), and
notifications that no supervisor reads are read here (`unheard`).
Rule 4: it may die itself.  All that it has is kept by its guardian (`guardian.reserve`)
before anything else is done with it, and the next keeper goes on with that.

The messages are in spec/keeper.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket

import gapless
from gapless.base import clock, codec, descriptors, files, wakeup, wire
from gapless.base.outside import faults
from gapless.keeper import messages, process_title
from gapless.keeper.children import Children
from gapless.keeper.guardian import place, program
from gapless.keeper.guardian.guardian import BEGUN, SCRATCH
from gapless.keeper.guardian.renewal import Renewal
from gapless.keeper.guardian.reserve import Reserve
from gapless.keeper.guardian.scratch import LAYOUT, Scratch
from gapless.keeper.holding.held import Held
from gapless.keeper.holding.unheard import Unheard
from gapless.keeper.logs.streams import FILE, STREAM, Streams
from gapless.keeper.seccomp import ancestor
from gapless.keeper.seccomp.waiting_calls import Answer, WaitingCalls
from gapless.keeper.supervisor_connection import SupervisorConnection

PROTOCOL = 1
"""The version of the messages in spec/keeper.md; it grows when one changes its meaning."""
IDLE_S = 10.0
"""How long the keeper waits for a supervisor when it keeps nothing."""


class Keeper:
    """The loop, and what each message of the supervisor asks for."""

    def __init__(self, home: str, reserve: Reserve) -> None:
        """Begin, or go on with what *reserve* has of a keeper before.  Raises OSError."""
        self._reserve = reserve
        self._selector = selectors.DefaultSelector()
        before = json.loads(reserve.value(BEGUN) or b"{}")
        self._scratch = _scratch(reserve)
        self._connection = SupervisorConnection(
            self._selector,
            home,
            reserve=reserve,
            on_open=self._announce_all,
            on_message=self._perform,
            on_loss=self._supervisor_lost,
        )
        self._unheard = Unheard(
            self._selector,
            self._connection.send,
            self._connection.unread,
            reserve,
        )
        self._held = Held(
            self._connection,
            reserve,
            on_hold=self._unheard.held,
            on_release=self._unheard.released,
        )
        self._streams = Streams(
            self._selector, self._connection.send, reserve, self._scratch
        )
        self._calls = WaitingCalls(
            self._selector,
            self._held.descriptors,
            self._connection.send,
            lambda: self._connection.is_open,
            reserve=reserve,
            scratch=self._scratch,
            paths=lambda: self._held.paths,
            ports=lambda: self._held.ports,
            close_descriptor=self._connection.close_descriptor,
        )
        self._children = Children(
            self._selector, self._connection, self._streams, self._calls, reserve
        )
        self._renewal = Renewal(self._selector, home, reserve, self._renewal_failed)
        self._incarnation = before.get("incarnation") or os.urandom(8).hex()
        """Tells what this keeper was given from what those of before were.

        A keeper that follows another one was given the same.
        """
        self._ending = bool(before.get("ending"))
        ancestor.ask(reserve)
        reserve.watch(self._line_opened, self._line_closes)
        if before:
            self._recover()
        self._note_begun()

    def _note_begun(self) -> None:
        """Keep what the next keeper has to know of this one."""
        value = {
            "incarnation": self._incarnation,
            "ending": self._ending,
            "limits": descriptors.started_with(),
            "layout": LAYOUT,
        }
        self._reserve.put(BEGUN, json.dumps(value).encode())

    def _recover(self) -> None:
        """Go on with what a keeper before this one had."""
        self._held.recover()
        streams = self._streams.recover()
        self._calls.recover()
        self._children.recover(streams)
        if not self._connection.recover():
            self._calls.supervisor_lost()
            return
        if self._connection.greeted:
            self._announce_running()
        else:
            self._announce_all()
        self._connection.announced()

    def _line_opened(self, line: socket.socket) -> None:
        """Hear of the end of a guardian, and note which one it is."""
        place.note(self._scratch.descriptor, self._reserve.guardian_pid)
        self._selector.register(line, selectors.EVENT_READ, self._reserve.lost)
        event = {"event": "guardian", "pid": self._reserve.guardian_pid}
        self._connection.send(event)

    def _line_closes(self, line: socket.socket) -> None:
        if line.fileno() in self._selector.get_map():
            self._selector.unregister(line)

    def serve(self) -> None:
        """Run until asked to end, or until there is no supervisor and nothing to keep."""
        while not self._is_over():
            wakeup.call_ready(self._selector, self._timeout_s(), self._failed)
            wakeup.guard(self._calls.expire, self._failed)
            wakeup.guard(self._children.expire, self._failed)
            wakeup.guard(self._streams.retry, self._failed)
            wakeup.guard(self._unheard.look, self._failed)
            wakeup.guard(self._reserve.retry, self._failed)
            wakeup.guard(self._renewal.expire, self._failed)
            descriptors.refill()

    def _is_over(self) -> bool:
        if self._ending:
            return not self._children.has_living()
        return self._is_idle() and self._idle_left_s() <= 0

    def _is_idle(self) -> bool:
        """Return whether there is no supervisor, and nothing to keep for the next one."""
        return not (
            self._connection.is_open
            or self._held.descriptors
            or self._children.has_living()
        )

    def _idle_left_s(self) -> float:
        return self._connection.closed_since + IDLE_S - clock.monotonic()

    def _timeout_s(self) -> float | None:
        waits = [
            self._calls.wait_s(),
            self._children.wait_s(),
            self._streams.wait_s(),
            self._unheard.wait_s(),
            self._reserve.wait_s(),
            self._renewal.wait_s(),
        ]
        if self._is_idle():
            waits.append(self._idle_left_s())
        known = [wait_s for wait_s in waits if wait_s is not None]
        return max(0.0, min(known)) if known else None

    def _announce_all(self) -> None:
        """Send a new supervisor all that the keeper has."""
        self._held.announce_all()
        self._announce_running()

    def _announce_running(self) -> None:
        """Send what may have changed without the supervisor, or on its way to it."""
        self._children.announce_all()
        self._streams.announce_all()
        welcome = {
            "event": "welcome",
            "pid": os.getpid(),
            "guardian": self._reserve.guardian_pid,
            "protocol": PROTOCOL,
            "version": gapless.__version__,
            "incarnation": self._incarnation,
        }
        self._connection.send(welcome)
        self._children.announce_emptied()
        self._calls.announce_all()
        self._unheard.pass_on()

    def _supervisor_lost(self) -> None:
        self._calls.supervisor_lost()
        self._unheard.supervisor_lost()

    def _perform(
        self, message: wire.Message, received: list[int], encoded: bytes
    ) -> None:
        """Do what a message asks for.  Raises ValueError, OSError."""
        self._calls.supervisor_spoke()
        match message.get("op"):
            case "hold":
                hold = codec.decode(messages.Hold, message, "hold")
                if len(received) != 1:
                    raise ValueError(
                        f"{hold.name} came with {len(received)} descriptors"
                    )
                self._held.hold(hold.name, hold.meta, received[0], encoded)
            case "release":
                release = codec.decode(messages.Release, message, "release")
                self._held.release(release.name)
                self._connection.send({"event": "released", "name": release.name})
            case "note":
                note = codec.decode(messages.Note, message, "note")
                self._held.note(note.name, note.value, encoded)
            case "spawn":
                self._children.spawn(message, received)
            case "answer":
                self._calls.answer(codec.decode(Answer, message, "answer"))
            case "forget":
                forget = codec.decode(messages.Forget, message, "forget")
                self._children.forget(forget.key)
            case "follow":
                follow = codec.decode(messages.Follow, message, "follow")
                if len(received) != 1:
                    raise ValueError(
                        f"{follow.key} came with {len(received)} descriptors"
                    )
                self._children.follow(follow, received[0])
            case "duplicate":
                self._duplicate(codec.decode(messages.Duplicate, message, "duplicate"))
            case "ping":
                pass  # that it was read is the answer
            case "take":
                self._children.take(message, received)
            case "renew":
                codec.check_plain(message, "renew")
                renew = codec.decode(messages.Renew, message, "renew")
                self._renewal.begin([*(renew.argv or program.installed())])
            case "end":
                self._ending = True
                self._note_begun()
            case other:
                raise ValueError(f"there is no op {str(other)[:80]}")

    def _duplicate(self, wanted: messages.Duplicate) -> None:
        """Send a duplicate, or why there is none."""
        event = {"event": "duplicate", "name": wanted.name, "reason": ""}
        try:
            copy = ancestor.duplicate(wanted.pid, wanted.descriptor)
        except OSError as error:
            self._connection.send({**event, "reason": error.strerror or str(error)})
            return
        self._connection.send(event, copy)
        self._connection.close_descriptor(copy)

    def renewed(self) -> None:
        """Tell that this process is another version now."""
        event = {"event": "renewed", "pid": os.getpid(), "version": gapless.__version__}
        self._connection.send(event)

    def _renewal_failed(self, reason: str) -> None:
        self._connection.send({"event": "not_renewed", "reason": reason})

    def _failed(self, error: Exception) -> None:
        """Report what a callback raised; the keeper goes on."""
        shown = faults.traceback_of(error)
        self._connection.send({"event": "failed", "reason": shown})
        if not self._connection.is_open:
            faults.write(f"gapless keeper: {shown}")


def _scratch(reserve: Reserve) -> Scratch:
    """Return the memory that is kept, or a new one.  Raises OSError."""
    kept = scratch_of(reserve)
    if kept >= 0:
        names = (*reserve.named(STREAM).values(), *reserve.named(FILE).values())
        return Scratch(kept, {int(json.loads(e.value)["place"]) for e in names})
    scratch = Scratch.make()
    reserve.put(SCRATCH, b"", scratch.descriptor)
    return scratch


def scratch_of(reserve: Reserve) -> int:
    """Return the descriptor of the memory that is kept; -1 for none."""
    kept = reserve.named(SCRATCH).get("")
    return kept.descriptors[0] if kept is not None and kept.descriptors else -1


def prepare(home: str, reserve: Reserve) -> Keeper:
    """Return the keeper of *home*, listening.  Raises OSError."""
    limits = json.loads(reserve.value(BEGUN) or b"{}").get("limits")
    descriptors.prepare(None if limits is None else tuple(limits))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    process_title.become_subreaper()
    keeper = Keeper(home, reserve)
    os.chdir("/")
    process_title.set_title("gapless keeper")
    return keeper


def run(keeper: Keeper, home: str, reserve: Reserve) -> None:
    """Run the keeper to its end, and remove its socket, if it is still its own.

    The guardian ends first: what a supervisor sees is the end of both.
    """
    path, own = f"{home}/keeper.sock", None
    with contextlib.suppress(OSError):  # one before it was about to end
        own = files.identity(path)
    keeper.serve()
    if own is not None:
        files.unlink_own(path, own)
    reserve.end()
