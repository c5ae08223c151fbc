"""Upload over ssh to a base directory on another host."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from typing import IO

from gapless.base import clock
from gapless.base.errors import NotFoundError
from gapless.push.destination import Destination
from gapless.push.ssh_errors import upload_error
from gapless.push.ssh_scripts import ARRIVED, FOLLOW, UPLOAD
from gapless.push.upload import Upload

SILENCE_S = 30.0
"""The other side prints a line each second; after so long without one, ssh is ended."""
_LAST_WORDS_S = 5.0
_STDERR_LINES = 12


class SshTransport:
    """Sends uploads to, and reads outcomes from, a base directory that ssh reaches."""

    def __init__(
        self,
        to: Destination,
        ssh: str,
        print_line: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._to, self._ssh, self._print_line = to, shlex.split(ssh), print_line

    def send(self, upload: Upload, on_sent: Callable[[int], None]) -> None:
        """Send an upload; *on_sent* is called with the number of bytes sent so far.

        Raises NotFoundError, GaplessError with the error output of ssh.
        """
        signature = upload.signature.decode("ascii").replace("\n", "\\n")
        size = str(upload.size_bytes)
        words = (self._to.path, upload.name, size, upload.sha256, signature)
        with (
            tempfile.TemporaryFile() as stderr,
            tempfile.TemporaryFile() as stdout,
            self._start(UPLOAD, words, subprocess.PIPE, stdout, stderr) as process,
        ):
            sent_all = False
            try:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):  # the exit code says why
                    for sent_bytes, piece in upload.pieces():
                        process.stdin.write(piece)
                        on_sent(sent_bytes)
                    process.stdin.flush()
                    sent_all = True
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                code = process.wait()
            finally:
                _end(process)
            stdout.seek(0)
            if code == 0 and ARRIVED in stdout.read().splitlines():
                return
            raise upload_error(
                upload.name, self._to, code, _text(stderr), sent_all=sent_all
            )

    def outcome_lines(
        self, name: str, remaining_s: Callable[[], float]
    ) -> Generator[bytes, None, None]:
        """Yield lines about an upload, as `OutcomeFollower.follow` reads them.

        Connects again, and prints that, when the connection breaks.
        """
        while (left_s := remaining_s()) > 0:
            words = (self._to.path, name, str(int(left_s) + 1))
            with tempfile.TemporaryFile() as stderr:
                with self._start(
                    FOLLOW, words, subprocess.DEVNULL, subprocess.PIPE, stderr
                ) as process:
                    try:
                        yield from _lines(process)
                    finally:
                        _end(process)
                if remaining_s() > 1:
                    code = process.returncode
                    reason = _text(stderr) or f"ssh ended with code {code}"
                    self._print_line(
                        f"the connection broke ({reason}); connecting again"
                    )
                    select.select([], [], [], min(5.0, max(0.0, remaining_s())))

    def _start(
        self,
        script: str,
        words: tuple[str, ...],
        stdin: int,
        stdout: IO[bytes] | int,
        stderr: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        options = ["-T", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"]
        if not sys.stdin.isatty():
            # Without a terminal ssh is to fail rather than to ask a question.
            options += ["-o", "BatchMode=yes"]
        if self._to.port:
            options += ["-p", str(self._to.port)]
        command = f"exec sh -c {shlex.join([script, 'gapless', *words])}"
        argv = [*self._ssh, *options, "--", self._to.host, command]
        try:
            return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr)
        except OSError as error:
            raise NotFoundError(
                f"could not run {self._ssh[0] if self._ssh else 'ssh'!r}: "
                f"{(error.strerror or str(error)).lower()}",
                hint="install an ssh client, or name one: --ssh '/usr/bin/ssh -p 2222'",
            ) from None


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Yield each line that a process prints, and b"" each second without one.

    Ends with the process, or when it has printed nothing for `SILENCE_S`.
    """
    assert process.stdout is not None
    descriptor, rest, read_at = process.stdout.fileno(), b"", clock.monotonic()
    while clock.monotonic() - read_at < SILENCE_S:
        if not select.select([descriptor], [], [], 1.0)[0]:
            yield b""
            continue
        if not (piece := os.read(descriptor, 1 << 16)):
            # ssh closes its output before it says why it ends.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_WORDS_S)
            return
        read_at = clock.monotonic()
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _text(stderr: IO[bytes]) -> str:
    """Return the last lines of an error output, indented but for the first."""
    stderr.seek(0)
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    return "\n    ".join(line for line in lines[-_STDERR_LINES:] if line.strip())
