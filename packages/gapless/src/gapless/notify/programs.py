"""Hand an event to a program: a command of the user's, or sendmail(8).

It has its time; then all of its process group is killed.  What it prints is read within a
bound, and its last words are the reason if it fails.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence

from gapless.notify.attempt import TOLD, Attempt, first_words
from gapless.notify.model import Mail

_LAST_BYTES = 1000
_OUTPUT_S = 0.5
"""How long output is waited for after the end: what a program started may hold it."""
_TEMPORARY_FAILURE = 75
"""EX_TEMPFAIL of sysexits(3): the mail was not accepted now."""


def run(
    words: Sequence[str],
    content: bytes,
    timeout_s: float,
    variables: Mapping[str, str] | None = None,
) -> Attempt:
    """Run a program with *content* as its input; exit code 0 means that it was told."""
    try:
        with _in_memory(content) as given:
            process = subprocess.Popen(
                words,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(variables or {})},
            )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Attempt(told=False, reason=f"{words[0]}: {str(reason).lower()}")
    output = _Output(process)
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        _kill(process)
        return Attempt(told=False, reason=f"{words[0]}: not over in {timeout_s:g} s")
    finally:
        said = first_words(output.last())
    if code == 0:
        return TOLD
    how = f"exited with code {code}" if code > 0 else f"was killed by signal {-code}"
    return Attempt(
        told=False, reason=f"{words[0]} {how}" + (f": {said}" if said else "")
    )


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """Return a descriptor to read *content* from: a disk that is full is no hindrance."""
    descriptor = os.memfd_create("gapless-event", os.MFD_CLOEXEC)
    try:
        os.pwrite(descriptor, content, 0)
        yield descriptor
    finally:
        os.close(descriptor)


class _Output:
    """Reads what a program prints, and keeps its end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._pipe, self._last = process.stdout, b""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._pipe:
            while piece := os.read(self._pipe.fileno(), 1 << 16):
                self._last = (self._last + piece)[-_LAST_BYTES:]

    def last(self) -> bytes:
        """Return the end of it."""
        self._thread.join(_OUTPUT_S)
        return self._last


def send_mail(mail: Mail, content: bytes, timeout_s: float) -> Attempt:
    """Give a mail to sendmail, for the addresses of the configuration and no others."""
    words = [mail.program, "-i", *(["-f", mail.sender] if mail.sender else []), "--"]
    return run([*words, *mail.to], content, timeout_s)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
