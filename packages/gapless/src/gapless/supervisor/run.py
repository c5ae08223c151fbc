"""Be the supervisor of one GAPLESS_HOME: one process, started light.

What is imported before the keeper is forked stays in the keeper's memory for good, so
this file imports the rest of the supervisor late.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import sys
from typing import Any, NoReturn

from gapless.base import descriptors, files, interpreter
from gapless.base.outside import own_directory
from gapless.keeper import run as keeper_run

PAUSE_S = 0.01
SHUT_DOWN = 10
"""The exit code under systemd after `gapless shutdown`: the unit stays down."""
MOST_ATTEMPTS = 1000
MOST_DEATHS = 5
"""Of keepers that are killed while they start."""


def main(arguments: list[str]) -> None:
    """Supervise; arguments are HOME and, if given, a descriptor to report on.

    Writes `ok` there when it is ready, or `error` and the error as JSON.
    """
    home = os.path.abspath(arguments[0])
    ready = int(arguments[1]) if len(arguments) > 1 else -1
    resume_all = ready < 0
    try:
        own_directory.check(home)
        own_directory.tighten(home)
        lock = _lock(home)
        while lock < 0:
            # Another one was faster and may not listen yet, or it is about to end.
            if _answers(home):
                if ready >= 0:
                    _report(ready, b"ok\n")
                    return
                _take_over(home)
            select.select([], [], [], PAUSE_S)
            lock = _lock(home)
        line = _keeper_of(home)

        descriptors.prepare()  # after the fork: the keeper does the same for itself
        from gapless.supervisor.supervisor import (  # noqa: PLC0415 - after fork
            End,
            Supervisor,
        )

        supervisor = Supervisor(home, line, lock, resume_all=resume_all)
    except Exception as error:
        if _keeper_has_ended(error):
            # It was just about to; the next supervisor starts another.
            sys.exit(f"gapless: {error}" if ready < 0 else 1)
        described = _describe(error)
        _report(ready, b"error " + json.dumps(described).encode() + b"\n")
        if not _is_foreseen(error):
            raise
        hint = f"\nhint: {described['hint']}" if described.get("hint") else ""
        sys.exit(f"gapless: {described['message']}{hint}" if ready < 0 else 1)
    _report(ready, b"ok\n")
    descriptors.settle()  # no lower one is left that a start had, so the limit is sharp
    end = supervisor.serve()
    if end is End.KEEPER_LOST:
        _begin_again(home, resume_all=resume_all and not supervisor.shuts_down)
    if end is End.SHUT_DOWN and resume_all and "INVOCATION_ID" in os.environ:
        sys.exit(SHUT_DOWN)


def _begin_again(home: str, *, resume_all: bool) -> NoReturn:
    """Be a new supervisor, which starts a keeper and finds what is left."""
    arguments = [home]
    if not resume_all:
        nobody = os.open("/dev/null", os.O_WRONLY)
        os.set_inheritable(nobody, True)
        arguments.append(str(nobody))
    argv = interpreter.python("gapless.supervisor.run", arguments)
    os.execv(argv[0], argv)


def _keeper_of(home: str) -> socket.socket:
    """Return a connection to the keeper, which is started if there is none.

    Raises OSError.
    """
    deaths = 0
    for _ in range(MOST_ATTEMPTS):
        line = keeper_run.connect(home)
        if line is not None:
            return line
        try:
            keeper_run.start(home)
        except keeper_run.KeeperDiedError:
            deaths += 1
            if deaths == MOST_DEATHS:
                raise
        line = keeper_run.connect(home)
        if line is not None:
            return line
        # An earlier supervisor has started one that does not listen yet, or one ends.
        select.select([], [], [], PAUSE_S)
    raise OSError("a keeper lives, and does not listen")


def _keeper_has_ended(error: Exception) -> bool:
    from gapless.supervisor.memory import keeper_connection  # noqa: PLC0415 - after fork

    return isinstance(error, keeper_connection.KeeperLostError)


def _lock(home: str) -> int:
    """Return a descriptor that holds the lock of *home*, or -1 if another has it."""
    descriptor = files.open_own(f"{home}/supervisor.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    return descriptor


def _answers(home: str) -> bool:
    """Return whether a supervisor listens on the control socket."""
    try:
        keeper_run.connect_to(home, "supervisor.sock", socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _take_over(home: str) -> None:
    """Let a supervisor leave that a command has started; end this one if it stays."""
    from gapless.supervisor import succession  # noqa: PLC0415 - only then

    if reason := succession.ask_to_leave(home):
        sys.exit(f"gapless: {reason}")


def _report(ready: int, answer: bytes) -> None:
    if ready >= 0:
        try:
            os.write(ready, answer)
        except BrokenPipeError:
            return  # the command that started us does not wait any more
        finally:
            os.close(ready)


def _is_foreseen(error: Exception) -> bool:
    """Return whether an error says all that its reader needs, without a traceback."""
    from gapless.base.errors import GaplessError  # noqa: PLC0415 - late

    return isinstance(error, GaplessError)


def _describe(error: Exception) -> dict[str, Any]:
    from gapless.base.errors import GaplessError, UnavailableError  # noqa: PLC0415 - late

    known = error if isinstance(error, GaplessError) else None
    shown = known or UnavailableError(f"the supervisor did not start: {error}")
    return shown.describe()
