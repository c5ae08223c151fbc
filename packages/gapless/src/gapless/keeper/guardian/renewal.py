"""The keeper becomes the installed version of itself, of the same pid.

First that version is tried: a process of it reads all that there is to go on with, and
says that it can.  Then the guardian becomes it, then the keeper.  Nothing was changed until
the trial has passed; if a keeper ends after that, the next one goes on, as always.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
from collections.abc import Callable

from gapless.base import clock, descriptors
from gapless.keeper.guardian import frames, program
from gapless.keeper.guardian.frames import Frame
from gapless.keeper.guardian.reserve import Reserve

LONGEST_BYTES = 2000
TRIAL_S = 10.0
"""How long the trial may take."""


class Renewal:
    """One renewal after the other."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        home: str,
        reserve: Reserve,
        failed: Callable[[str], None],
    ) -> None:
        """Tell *failed* why a renewal is not done: then this version goes on."""
        self._selector, self._home, self._reserve = selector, home, reserve
        self._failed = failed
        self._line: socket.socket | None = None
        self._pidfd = self._errors = -1
        self._until = 0.0
        self._argv: list[str] = []

    def begin(self, argv: list[str]) -> None:
        """Try a version; *argv* runs it.  Does nothing while one is tried."""
        if self._line is not None:
            return
        self._argv = argv
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._errors = os.memfd_create("gapless-trial")
            with far:
                words = [*argv, program.TRIAL, "{line}"]
                pid = program.start(words, far, self._errors)
            self._pidfd = os.pidfd_open(pid)
            near.setblocking(False)
            with contextlib.suppress(
                ConnectionError
            ):  # it has ended: it may have said why
                frames.send(near, Frame(kind="try", value=self._reserve.everything()))
        except (OSError, ValueError) as error:
            near.close()  # a trial that began ends by that
            self._close_pidfd()
            self._close_errors()
            reason = getattr(error, "strerror", None) or error
            self._failed(f"could not try {argv[0]}: {reason}")
            return
        self._line, self._until = near, clock.monotonic() + TRIAL_S
        self._selector.register(near, selectors.EVENT_READ, self._answered)

    def wait_s(self) -> float | None:
        """Return after how long `expire` has something to do; None for never."""
        return None if self._line is None else self._until - clock.monotonic()

    def expire(self) -> None:
        """End a trial that takes too long."""
        if self._line is not None and clock.monotonic() >= self._until:
            self._end_trial()
            self._close_errors()
            self._failed(f"the trial has not answered after {TRIAL_S:g} s")

    def _end_trial(self) -> None:
        assert self._line is not None
        self._selector.unregister(self._line)
        self._line.close()
        self._line = None
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._close_pidfd()

    def _close_pidfd(self) -> None:
        pidfd, self._pidfd = self._pidfd, -1
        if pidfd >= 0:
            descriptors.close(pidfd)

    def _close_errors(self) -> str:
        """Return the last line that the trial wrote to its standard error."""
        errors, self._errors = self._errors, -1
        if errors < 0:
            return ""
        size = os.fstat(errors).st_size
        found = os.pread(errors, LONGEST_BYTES, max(0, size - LONGEST_BYTES))
        descriptors.close(errors)
        return found.decode(errors="replace").strip().rpartition("\n")[2]

    def _answered(self) -> None:
        assert self._line is not None
        try:
            answer = frames.receive(self._line)
        except (EOFError, OSError, ValueError):
            answer = Frame(kind="answer", number=1)
        for each in answer.descriptors:  # it has none to give
            os.close(each)
        self._end_trial()
        last_words = self._close_errors()
        if answer.number or answer.kind != "answer":
            said = answer.value[:LONGEST_BYTES].decode(errors="replace")
            reason = said or last_words or "it ended"
            self._failed(f"its trial failed: {reason}")
            return
        words = [*self._argv, program.GUARDIAN, self._home, "{line}"]
        words += [str(os.getpid()), program.RENEWED]
        with_table = answer.name == program.TAKES_TABLE
        if reason := self._reserve.renew(words, with_table=with_table):
            self._failed(f"the guardian stays as it is: {reason}")
            return
        line = self._reserve.line
        if line is None:
            self._failed("there is no guardian to keep what there is meanwhile")
            return
        argv = [*self._argv, program.RENEWED, self._home, str(line.fileno())]
        line.set_inheritable(True)
        try:
            os.execv(argv[0], argv)
        except (OSError, ValueError) as error:
            line.set_inheritable(False)
            self._failed(f"could not run {argv[0]}: {error}")
