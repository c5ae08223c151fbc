"""The keeper: the parent of every instance, and the holder of their sockets.

Rule 1: it decides nothing.  It does what the supervisor asks for, and reports what
happened.
Rule 2: it outlives every supervisor.  A new supervisor gets all that the keeper has:
children and how they ended, descriptors by name, notes, and the system calls that wait.
Rule 3: no instance waits for a supervisor for good.  Log pipes are always emptied
(`logs.streams`), and a system call without an answer proceeds (`seccomp.waiting_calls`).

The messages are in spec/keeper.md.
"""

from __future__ import annotations

import os
import selectors
import signal

import gapless
from gapless.base import clock, codec, descriptors, events, files, wakeup, wire
from gapless.keeper import messages, process_title
from gapless.keeper.children import Children
from gapless.keeper.duplicate import duplicate
from gapless.keeper.held import Held
from gapless.keeper.logs.streams import Streams
from gapless.keeper.seccomp.waiting_calls import Answer, WaitingCalls
from gapless.keeper.supervisor_connection import SupervisorConnection

PROTOCOL = 1
"""The version of the messages in spec/keeper.md; it grows when one changes its meaning."""
IDLE_S = 10.0
"""How long the keeper waits for a supervisor when it keeps nothing."""


class Keeper:
    """The loop, and what each message of the supervisor asks for."""

    def __init__(self, home: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._connection = SupervisorConnection(
            self._selector,
            home,
            on_open=self._announce_all,
            on_message=self._perform,
            on_loss=self._supervisor_lost,
        )
        self._held = Held(self._connection)
        self._streams = Streams(self._selector, self._connection.send)
        self._calls = WaitingCalls(
            self._selector,
            self._held.descriptors,
            self._connection.send,
            lambda: self._connection.is_open,
            paths=lambda: self._held.paths,
            close_descriptor=self._connection.close_descriptor,
        )
        self._children = Children(
            self._selector, self._connection, self._streams, self._calls
        )
        self._incarnation = os.urandom(8).hex()
        """Tells this keeper from those before: they were given other children."""
        self._ending = False

    def serve(self) -> None:
        """Run until asked to end, or until there is no supervisor and nothing to keep."""
        while not self._is_over():
            wakeup.call_ready(self._selector, self._timeout_s(), self._failed)
            wakeup.guard(self._calls.expire, self._failed)
            wakeup.guard(self._streams.retry, self._failed)
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
        waits = [self._calls.wait_s(), self._streams.wait_s()]
        if self._is_idle():
            waits.append(self._idle_left_s())
        known = [wait_s for wait_s in waits if wait_s is not None]
        return max(0.0, min(known)) if known else None

    def _announce_all(self) -> None:
        """Send a new supervisor all that the keeper has."""
        self._held.announce_all()
        self._children.announce_all()
        self._streams.announce_all()
        welcome = {
            "event": "welcome",
            "pid": os.getpid(),
            "protocol": PROTOCOL,
            "version": gapless.__version__,
            "incarnation": self._incarnation,
        }
        self._connection.send(welcome)
        self._calls.announce_all()

    def _supervisor_lost(self) -> None:
        self._calls.supervisor_lost()

    def _perform(self, message: wire.Message, received: list[int]) -> None:
        """Do what a message asks for.  Raises ValueError, OSError."""
        match message.get("op"):
            case "hold":
                hold = codec.decode(messages.Hold, message, "hold")
                if len(received) != 1:
                    raise ValueError(
                        f"{hold.name} came with {len(received)} descriptors"
                    )
                self._held.hold(hold.name, hold.meta, received[0])
            case "release":
                release = codec.decode(messages.Release, message, "release")
                self._held.release(release.name)
                self._connection.send({"event": "released", "name": release.name})
            case "note":
                note = codec.decode(messages.Note, message, "note")
                self._held.note(note.name, note.value)
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
            case "end":
                self._ending = True
            case other:
                raise ValueError(f"there is no op {str(other)[:80]}")

    def _duplicate(self, wanted: messages.Duplicate) -> None:
        """Send a duplicate, or why there is none."""
        event = {"event": "duplicate", "name": wanted.name, "reason": ""}
        try:
            copy = duplicate(wanted.pid, wanted.descriptor)
        except OSError as error:
            self._connection.send({**event, "reason": error.strerror or str(error)})
            return
        self._connection.send(event, copy)
        self._connection.close_descriptor(copy)

    def _failed(self, error: Exception) -> None:
        """Report what a callback raised; the keeper goes on."""
        shown = events.traceback_of(error)
        self._connection.send({"event": "failed", "reason": shown})
        if not self._connection.is_open:
            os.write(2, b"gapless keeper: " + shown.encode(errors="replace"))


def prepare(home: str) -> Keeper:
    """Return the keeper of *home*, listening.  Raises OSError."""
    descriptors.prepare()
    keeper = Keeper(home)
    os.chdir("/")
    process_title.become_subreaper()
    process_title.set_title("gapless keeper")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    return keeper


def run(keeper: Keeper, home: str) -> None:
    """Run the keeper to its end, and remove its socket, if it is still its own."""
    path = f"{home}/keeper.sock"
    own = files.identity(path)
    keeper.serve()
    files.unlink_own(path, own)
