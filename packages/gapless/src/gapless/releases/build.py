"""Run commands in a release: its build and its hooks, bounded in time, logged."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from gapless.base.errors import NotFoundError, ReleaseError
from gapless.releases.model import ReleaseSpec

_TAIL_BYTES = 4000


def default_build(directory: str) -> tuple[tuple[str, ...], ...]:
    """Return the commands that a release asks for by the files that it holds."""
    has = set(os.listdir(directory))
    commands: list[tuple[str, ...]] = []
    if has & {"package-lock.json", "npm-shrinkwrap.json"}:
        commands.append(("npm", "ci"))
    elif "package.json" in has:
        commands.append(("npm", "install"))
    if "uv.lock" in has:
        commands.append(("uv", "sync", "--frozen"))
    return tuple(commands)


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

    The whole process group is ended at *timeout_s*.  Raises ReleaseError, with the last
    lines that the command printed.
    """
    shown = " ".join(command)
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "ab") as output:
        output.write(f"$ {shown}\n".encode())
        output.flush()
        try:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=spec.environment or None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=spec.held,
            )
        except FileNotFoundError:
            raise NotFoundError(
                f"{spec.app}: {what} could not run: there is no {command[0]!r} in PATH"
            ) from None
        except OSError as error:
            raise ReleaseError(
                f"{spec.app}: {what} could not run: {shown}: {error.strerror}"
            ) from error
        try:
            code = process.wait(timeout_s)
            ended = f"ended with code {code}"
        except subprocess.TimeoutExpired:
            code, ended = -1, f"was ended after {timeout_s:g} s"
        finally:
            # What the command left running in its group ends with it.
            _end_group(process)
    if code:
        raise ReleaseError(
            f"{spec.app}: {what} failed: {shown} {ended}\n{tail(log)}",
            hint=f"all of its output is in {log}",
        )


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # nobody is left in it
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tail(log: str) -> str:
    """Return the last lines of a log, indented."""
    with open(log, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-15:]
    return "\n".join(f"    {line}" for line in lines)
