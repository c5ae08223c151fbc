"""Run one command of a release: bounded in time, with its output in a log."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from gapless.base.errors import NotFoundError, ReleaseError
from gapless.releases import publisher_lock
from gapless.releases.model import ReleaseSpec

_TAIL_BYTES = 4000
_TAIL_LINES = 15


def run(
    spec: ReleaseSpec,
    command: tuple[str, ...],
    directory: str,
    *,
    what: str,
    timeout_s: float,
    log: str,
) -> None:
    """Run one command of a release; all it prints goes to the file *log*.

    *what* names the command in messages.  Its whole process group is killed when the
    command has ended, or at *timeout_s*.  Raises NotFoundError if there is no such program,
    and ReleaseError, with the last lines that the command printed.
    """
    shown = " ".join(command)
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "ab") as output:
        output.write(f"$ {shown}\n".encode())
        output.flush()
        publisher_lock.note_command(spec, 0)
        try:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=spec.environment or None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=spec.inherited_fds,
            )
        except FileNotFoundError:
            raise NotFoundError(
                f"{spec.app}: {what} could not run: there is no {command[0]!r} in PATH"
            ) from None
        except OSError as error:
            raise ReleaseError(
                f"{spec.app}: {what} could not run: {shown}: {error.strerror}"
            ) from error
        publisher_lock.note_command(spec, process.pid)
        try:
            code = process.wait(timeout_s)
            ended = f"ended with code {code}"
        except subprocess.TimeoutExpired:
            code, ended = -1, f"was ended after {timeout_s:g} s"
        finally:
            # Processes that the command left in its group end with it.
            _end_group(process)
            publisher_lock.note_command(spec, None)
    if code:
        raise ReleaseError(
            f"{spec.app}: {what} failed: {shown} {ended}\n{_tail(log)}",
            hint=f"all of its output is in {log}",
        )


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # the group is empty
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(log: str) -> str:
    """Return the last lines of a log, indented."""
    with open(log, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines)
