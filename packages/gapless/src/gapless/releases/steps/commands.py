"""Run one command of a release: bounded in time, with its output in a log.

A process of its own runs it (`releases/reaper/`), and ends all that came from it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess

from gapless.base import codec, files
from gapless.base.errors import MisuseError, NotFoundError, ReleaseError
from gapless.base.interpreter import python
from gapless.base.names import LOGIN_VARIABLES
from gapless.base.outside import secrets
from gapless.keeper import identity
from gapless.releases import publisher_lock
from gapless.releases.model import ReleaseSpec
from gapless.releases.reaper.request import Ended, Request
from gapless.releases.steps import environment

_TAIL_BYTES = 4000
_TAIL_LINES = 15
_END = b"end\n"
_ANSWER_BYTES = 1 << 16


def run(
    spec: ReleaseSpec,
    command: tuple[str, ...],
    directory: str,
    *,
    what: str,
    timeout_s: float,
    log: str,
    variables: dict[str, str] | None = None,
    goes_on: bool = True,
    gains_no_rights: bool = False,
) -> None:
    """Run one command of a release, as its `build_user`; its output goes to the file *log*.

    *what* names the command in messages.  *variables* are added to its environment.  All
    processes that came from it are killed when it has ended, or at *timeout_s*; if this
    process dies, then too, or at once if it does not go on.  Raises MisuseError if nobody
    here may become `build_user`, NotFoundError if there is no such program, and
    ReleaseError, with the last lines that the command printed.
    """
    user = user_of(spec)
    own = environment.of(spec, os.environ, variables or {}, is_other_user=bool(user))
    shown = " ".join(command)
    files.make_directories(os.path.dirname(log), files.SHARED_DIRECTORY)
    with os.fdopen(files.open_to_append(log, files.GROUP_FILE), "ab") as output:
        note = environment.left_out(spec, os.environ)
        output.write(f"$ {shown}\n{note}".encode(errors="surrogateescape"))
        output.flush()
        request = Request(
            command=list(command),
            directory=directory,
            environment=own,
            user=user,
            user_variables=[
                name
                for name in LOGIN_VARIABLES
                if user and name not in spec.build_environment
            ],
            log=output.fileno(),
            timeout_s=timeout_s,
            goes_on=goes_on,
            gains_no_rights=gains_no_rights and bool(user),
        )
        ended = _ask(spec, request)
    if ended.errno == errno.ENOENT and "run " in ended.reason:
        raise NotFoundError(
            f"{spec.app}: {what} could not run: there is no {command[0]!r} in PATH"
        )
    if ended.errno:
        raise ReleaseError(
            f"{spec.app}: {what} could not run: {shown}: could not {ended.reason}",
            hint=f"it runs as {user}, the build_user, who must be let into the "
            "directories of the release and of PATH"
            if user
            else "",
        )
    if ended.code or ended.code is None:
        how = f"ended with code {ended.code}"
        if ended.code is None:
            how = f"was ended after {timeout_s:g} s"
        raise ReleaseError(
            f"{spec.app}: {what} failed: {shown} {how}\n"
            f"{secrets.in_text(_tail(log), secrets.values_of(own))}",
            hint=f"all of its output is in {log}; a variable that it lacks is to be named "
            "in build_environment",
        )
    if ended.alive:
        raise ReleaseError(
            f"{spec.app}: {what} left processes that could not be ended: "
            f"{', '.join(map(str, ended.alive))}",
            hint="end them, and publish again",
        )


def user_of(spec: ReleaseSpec) -> str:
    """Return the user that commands run as; empty if that is the user of this process.

    Raises MisuseError if this process may not become that user.
    """
    if not spec.build_user:
        return ""
    try:
        who = identity.find(spec.build_user, "")
    except LookupError:
        raise MisuseError(
            f"{spec.app}: there is no user {spec.build_user}, the build_user"
        ) from None
    if who.is_own():
        return ""
    if os.geteuid():
        raise MisuseError(
            f"{spec.app}: could not build as {spec.build_user}: only root may become "
            "another user",
            hint="run the publisher as root, or remove build_user: builds then run as "
            "the user of the publisher",
        )
    return spec.build_user


def _ask(spec: ReleaseSpec, request: Request) -> Ended:
    """Start the process that runs a command, and return what it answers."""
    publisher_lock.note_command(spec, 0)
    reaper = subprocess.Popen(
        python("gapless.releases.reaper.run", []),
        cwd="/",
        env={},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=request.log,
        start_new_session=True,
        pass_fds=(*spec.inherited_fds, request.log),
    )
    assert reaper.stdin is not None
    assert reaper.stdout is not None
    try:
        publisher_lock.note_command(spec, reaper.pid)
        with contextlib.suppress(BrokenPipeError):
            reaper.stdin.write(json.dumps(codec.encode(request)).encode() + b"\n")
            reaper.stdin.flush()
        answer = reaper.stdout.read(_ANSWER_BYTES)
    except BaseException:
        with contextlib.suppress(OSError):
            reaper.stdin.write(_END)
            reaper.stdin.flush()
        raise
    finally:
        # It ends when all that came from the command has ended.
        reaper.wait()
        for pipe in (reaper.stdin, reaper.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        publisher_lock.note_command(spec, None)
    try:
        return codec.decode(Ended, json.loads(answer))
    except ValueError:
        raise ReleaseError(
            f"{spec.app}: the process that ran {request.command[0]} was ended",
            hint="a command may have ended it that runs as the same user: set build_user",
        ) from None


def _tail(log: str) -> str:
    """Return the last lines of a log, indented."""
    with open(log, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines)
