"""Upload over ssh; the other side needs sh, cat, wc, sha256sum, mv and mkdir.

The script there removes its temporary file however it ends: a connection that breaks is an
end of input for it, and a size that is not what was announced.
"""

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
from gapless.base.errors import GaplessError, NotFoundError
from gapless.push.destination import Destination
from gapless.push.outcome import FOLDER
from gapless.push.parcels import Parcel

ARRIVED = b"gapless: arrived"
NO_DIRECTORY, NOT_WHOLE, NOT_WRITTEN = 71, 72, 73
SSH_FAILED = 255
SILENCE_S = 30.0
"""The other side says something each second: after that long without it is asked again."""

# One line, without ' and !, so that any login shell passes it on.
UPLOAD = (
    "base=$1; src=$1/src; name=$2; size=$3; sum=$4; part=$src/.$name.part; "
    f'test -d "$base" || exit {NO_DIRECTORY}; '
    'end() { code=$?; trap - EXIT; rm -f "$part" "$part.sha256"; '
    'test -e "$src/$name" || rm -f "$src/$name.sha256"; exit $code; }; '
    "trap end EXIT; trap "
    f'"exit {NOT_WHOLE}" HUP INT TERM PIPE; '
    f'mkdir -p "$src" || exit {NOT_WRITTEN}; '
    'find "$src" -maxdepth 1 -name ".*.part" -mmin +1440 -exec rm -f {} + 2>/dev/null; '
    f'cat > "$part" || exit {NOT_WRITTEN}; '
    'got=$(wc -c < "$part"); '
    f'test "$((got))" -eq "$size" || {{ echo "$((got)) of $size bytes arrived" >&2; '
    f"exit {NOT_WHOLE}; }}; "
    f'got=$(sha256sum < "$part") || exit {NOT_WRITTEN}; '
    'test "${got%% *}" = "$sum" || { echo "its checksum there is ${got%% *}, '
    f'not $sum" >&2; exit {NOT_WHOLE}; }}; '
    'sync "$part" 2>/dev/null || sync; '
    'echo "$sum  $name" > "$part.sha256" && mv -f "$part.sha256" "$src/$name.sha256" && '
    f'mv -f "$part" "$src/$name" || exit {NOT_WRITTEN}; '
    f'echo "{ARRIVED.decode()}"'
)
FOLLOW = (
    "file=$1/src/.outcomes/$2.json; left=$3; last=; "
    'while test "$left" -gt 0; do '
    'if test -f "$file"; then now=$(cat "$file"); '
    'test "$now" = "$last" || { printf "%s\\n" "$now" || exit; last=$now; }; fi; '
    'if test -e "$1/src/$2"; then echo here; else echo gone; fi || exit; '
    "left=$((left - 1)); sleep 1; done"
).replace(".outcomes", FOLDER)


class Remote:
    """A base directory on a host that ssh reaches."""

    def __init__(
        self, to: Destination, ssh: str, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._to, self._ssh, self._say = to, shlex.split(ssh), say

    def send(self, parcel: Parcel, hear: Callable[[int], None]) -> None:
        """Upload a parcel.  Raises NotFoundError, GaplessError with what ssh said."""
        words = (self._to.path, parcel.name, str(parcel.size_bytes), parcel.sha256)
        with (
            tempfile.TemporaryFile() as said,
            tempfile.TemporaryFile() as answered,
            self._start(UPLOAD, words, subprocess.PIPE, answered, said) as process,
        ):
            whole = False
            try:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):  # its code says why
                    for sent, piece in parcel.pieces():
                        process.stdin.write(piece)
                        hear(sent)
                    process.stdin.flush()
                    whole = True
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                code = process.wait()
            finally:
                _end(process)
            answered.seek(0)
            if code == 0 and ARRIVED in answered.read().splitlines():
                return
            raise self._error(parcel, code, said, whole=whole)

    def lines(
        self, upload: str, remaining_s: Callable[[], float]
    ) -> Generator[bytes, None, None]:
        """Yield what is told of an upload, as `following.Follower` hears it.

        A connection that breaks is made again, and that is said.
        """
        while (left_s := remaining_s()) > 0:
            words = (self._to.path, upload, str(int(left_s) + 1))
            with tempfile.TemporaryFile() as said:
                with self._start(
                    FOLLOW, words, subprocess.DEVNULL, subprocess.PIPE, said
                ) as process:
                    try:
                        yield from _lines(process)
                    finally:
                        _end(process)
                if remaining_s() > 1:
                    reason = _text(said) or f"ssh ended with code {process.returncode}"
                    self._say(f"the connection broke ({reason}); it is made again")
                    select.select([], [], [], min(5.0, max(0.0, remaining_s())))

    def _start(
        self,
        script: str,
        words: tuple[str, ...],
        standard_input: int,
        output: IO[bytes] | int,
        errors: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        options = ["-T", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"]
        if not sys.stdin.isatty():
            # Nobody could answer: better an error than a question.
            options += ["-o", "BatchMode=yes"]
        if self._to.port:
            options += ["-p", str(self._to.port)]
        command = f"exec sh -c {shlex.join([script, 'gapless', *words])}"
        argv = [*self._ssh, *options, self._to.host, command]
        try:
            return subprocess.Popen(
                argv, stdin=standard_input, stdout=output, stderr=errors
            )
        except OSError as error:
            raise NotFoundError(
                f"could not run {self._ssh[0] if self._ssh else 'ssh'!r}: "
                f"{(error.strerror or str(error)).lower()}",
                hint="install an ssh client, or name one: --ssh '/usr/bin/ssh -p 2222'",
            ) from None

    def _error(
        self, parcel: Parcel, code: int, said: IO[bytes], *, whole: bool
    ) -> GaplessError:
        told = _text(said)
        what = f"could not push {parcel.name} to {self._to}"
        more = f"\n    {told}" if told else ""
        if code == NO_DIRECTORY:
            return NotFoundError(
                f"{what}: there is no directory {self._to.path} there{more}",
                hint="name the base directory, which has src/ and dist/ in it",
            )
        if code == NOT_WHOLE:
            return GaplessError(
                f"{what}: what arrived is not what was sent{more}",
                hint="nothing of it was left there; push again",
            )
        if code == NOT_WRITTEN:
            return GaplessError(
                f"{what}: it could not be written there{more}",
                hint="nothing of it was left there",
            )
        if code == SSH_FAILED:
            hint = _ssh_hint(told, self._to.host)
            if whole:
                hint += "; everything had been sent, so look whether it arrived"
            return GaplessError(f"{what}: ssh failed{more}", hint=hint)
        return GaplessError(f"{what}: the command there ended with code {code}{more}")


def _ssh_hint(told: str, host: str) -> str:
    if "ost key" in told or "HOST IDENTIFICATION" in told:
        return (
            "its host key is not known here, or not the one that is: compare it, then "
            f"`ssh-keyscan {host.rpartition('@')[2]} >> ~/.ssh/known_hosts`, or connect "
            "once by hand"
        )
    if "ermission denied" in told:
        return f"`ssh {host}` has to work without a password where nobody can type one"
    return f"does `ssh {host} true` work?"


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Yield each line that a process prints, until it ends or falls silent."""
    assert process.stdout is not None
    descriptor, rest, heard = process.stdout.fileno(), b"", clock.monotonic()
    while clock.monotonic() - heard < SILENCE_S:
        if not select.select([descriptor], [], [], 1.0)[0]:
            yield b""
            continue
        if not (piece := os.read(descriptor, 1 << 16)):
            return
        heard = clock.monotonic()
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


def _text(said: IO[bytes]) -> str:
    said.seek(0)
    text = said.read().decode(errors="replace").strip()
    return "\n    ".join(line for line in text.splitlines()[-12:] if line.strip())
