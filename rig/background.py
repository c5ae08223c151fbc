"""A program that runs in the background and writes to a log file."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class BackgroundProcess:
    """One program, which may be ended and started again; all output is in one log."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, argv: Sequence[str], **options: Any) -> None:
        """Start it; *options* are those of `subprocess.Popen`."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, **options)

    @property
    def was_started(self) -> bool:
        """Whether it was started, and nothing here has ended it or waited for its end."""
        return self._process is not None

    @property
    def is_running(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id.  Raises AssertionError if it was not started."""
        return self._started().pid

    def output(self) -> str:
        """Return everything that it has printed so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        self._started().send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; return its exit code.  Raises subprocess.TimeoutExpired."""
        code = self._started().wait(timeout_s)
        self._process = None
        return code

    def terminate(self, timeout_s: float = 20.0) -> None:
        """Send SIGTERM, and wait for the end.  Raises subprocess.TimeoutExpired."""
        if self._process is not None:
            self._process.terminate()
            self.wait(timeout_s)

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self.wait(20)

    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"the program of {self._log} does not run"
        return self._process
