"""The new version, in the process of the one before: prepare, take over, or stand in.

Its counterpart is `upgrade.replacement`, in a version that may be another.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import types
from typing import NoReturn

from gapless.base import descriptors, files
from gapless.base.errors import UnavailableError
from gapless.supervisor.upgrade import installed
from gapless.supervisor.upgrade.inheritance import Inheritance
from gapless.supervisor.upgrade.replacement import (
    BEGIN,
    DONE,
    HELD,
    STARTED,
)


class Successor:
    """Takes the place of the supervisor that has started this process."""

    def __init__(self, given: Inheritance) -> None:
        """Close what was not handed over, and remember the signals that come meanwhile."""
        self._given = given
        descriptors.close_all_but(given.kept())
        for descriptor in given.kept():
            os.set_inheritable(descriptor, False)
        self._line = socket.socket(fileno=given.line)
        self._signalled: list[int] = []
        for number in HELD:
            signal.signal(number, self._note_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)

    def _note_signal(self, number: int, _: types.FrameType | None) -> None:
        self._signalled.append(number)

    def prepare(self) -> None:
        """Say that everything is imported, and return when this process may take over.

        Raises UnavailableError if the install is not what the trial has tried.
        """
        directory = installed.package_directory()
        if installed.fingerprint(directory) != self._given.files:
            raise UnavailableError(
                f"the install in {directory} has changed since it was tried",
                hint=installed.HINT,
            )
        with contextlib.suppress(OSError):  # it has died: then this one has to go on
            self._line.send(STARTED)
            said = self._line.recv(len(BEGIN))
            if said not in (BEGIN, b""):
                raise UnavailableError(f"the supervisor before said {said!a}")

    def has_taken_over(self) -> None:
        """Let the supervisor before end, and act on the signals that came meanwhile."""
        with contextlib.suppress(OSError):
            self._line.send(DONE)
        self._line.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._given.serving, 0)
        for number in self._signalled:
            os.kill(os.getpid(), number)

    def stand_in(self, error: dict[str, object]) -> NoReturn:
        """Tell why this version cannot take over, and end when the supervisor does.

        Whoever knows this pid (a unit, a container) waits for this process.
        """
        with contextlib.suppress(OSError):
            self._line.send(files.as_json(error)[:32_000])
        descriptors.close_all_but(set())
        serving = self._given.serving
        for number in (*HELD, *self._signalled):
            signal.signal(number, lambda each, _: _pass_on(serving, each))
        for number in self._signalled:
            _pass_on(serving, number)
        try:
            _, status = os.waitpid(serving, 0)
        except ChildProcessError:
            os._exit(1)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)


def _pass_on(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
