"""Be the supervisor of one GAPLESS_HOME: one process, started light.

What is imported before the keeper is forked stays in the keeper's memory for good, so
this file imports the rest of the supervisor late.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from gapless.base import clock, descriptors, files, interpreter
from gapless.base.names import Home
from gapless.base.outside import faults, own_directory
from gapless.keeper import run as keeper_run
from gapless.supervisor import lives, unit

if TYPE_CHECKING:
    from gapless.base.errors import GaplessError
    from gapless.supervisor.supervisor import Supervisor

PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.25
LOCK_S = 30.0
"""How long to wait for one that has the lock, and does not answer."""
CONNECT_S = 5
SHUT_DOWN = 10
"""The exit code under systemd after `gapless shutdown`: the unit stays down."""
MOST_ATTEMPTS = 1000
MOST_DEATHS = 5
"""Of keepers that are killed while they start."""


def main(arguments: list[str]) -> None:
    """Supervise; arguments are HOME and, if given, a descriptor to report on.

    Writes `ok` there when it is ready, or `error` and the error as JSON.  In the place of
    the descriptor it may be what a supervisor hands to its successor.
    """
    home = os.path.abspath(arguments[0])
    if len(arguments) > 1 and arguments[1].startswith("{"):
        _succeed(home, arguments[1])
        return
    ready = int(arguments[1]) if len(arguments) > 1 else -1
    resume_all = ready < 0
    own_unit = unit.of_environment(os.environ, os.getpid())
    lock = -1
    try:
        own_directory.check(home)
        own_directory.tighten(home)
        lock = _begin(home, own_unit, is_asked=ready >= 0)
        if lock < 0:
            _report(ready, b"ok\n")
            return
        line = _keeper_of(home)

        descriptors.prepare()  # after the fork: the keeper does the same for itself
        with interpreter.importing():
            from gapless.supervisor import succession  # noqa: PLC0415 - after fork
            from gapless.supervisor.supervisor import (  # noqa: PLC0415 - after fork
                Supervisor,
            )

        by = succession.SUPERVISE if resume_all else succession.COMMAND
        supervisor = Supervisor(
            home, line, lock, own_unit, resume_all=resume_all, started_by=by
        )
    except Exception as error:
        if _keeper_has_ended(error):
            # It was just about to; the next supervisor starts another.
            lives.end(lock)
            if ready >= 0:
                sys.exit(1)
            select.select([], [], [], PAUSE_S)
            _begin_again(home, resume_all=True)  # systemd waits for it to be ready
        described = _describe(error)
        if ready < 0:
            _note_end(lock, str(described["message"]))
        elif _is_foreseen(error):
            lives.end(lock)  # who asked is told, and asks again or not
        _report(ready, b"error " + json.dumps(described).encode() + b"\n")
        if not _is_foreseen(error):
            raise
        hint = f"\nhint: {described['hint']}" if described.get("hint") else ""
        sys.exit(f"gapless: {described['message']}{hint}" if ready < 0 else 1)
    _report(ready, b"ok\n")
    _serve(home, lock, supervisor, is_unit=ready < 0)


def _serve(home: str, lock: int, supervisor: Supervisor, *, is_unit: bool) -> None:
    """Serve to the end; take back what a successor could not take over."""
    from gapless.supervisor import succession  # noqa: PLC0415 - after fork
    from gapless.supervisor import supervisor as parts  # noqa: PLC0415 - after fork

    descriptors.settle()  # no lower one is left that a start had, so the limit is sharp
    abandoned = []
    _write_pid(home, b"%d\n" % os.getpid())
    try:
        while (end := supervisor.serve()) is parts.End.TAKEN_BACK:
            # Its objects stay: the numbers of what they had open will be those of others.
            abandoned.append(supervisor)
            descriptors.close_all_but({lock})
            line = _keeper_of(home)
            descriptors.prepare()
            supervisor = parts.Supervisor(
                home,
                line,
                lock,
                unit.of_environment(os.environ, os.getpid()),
                resume_all=False,
                started_by=succession.COMMAND,
                given=supervisor.taken_back,
            )
            life = lives.following(None, pid=os.getpid(), now=clock.boottime())
            lives.write(lock, life)
            _write_pid(home, b"%d\n" % os.getpid())
    except Exception as error:
        _note_end(lock, f"{type(error).__name__}: {error}")
        raise
    finally:
        _write_pid(home, b"")
    lives.end(lock)
    if end is parts.End.KEEPER_LOST:
        _begin_again(home, resume_all=is_unit and not supervisor.shuts_down)
    code = 0
    if end is parts.End.SHUT_DOWN and is_unit and "INVOCATION_ID" in os.environ:
        code = SHUT_DOWN
    if abandoned:
        os._exit(code)
    if code:
        sys.exit(code)


def _succeed(home: str, argument: str) -> None:
    """Take the place of a supervisor of any version, or try whether that works."""
    from gapless.supervisor import succession  # noqa: PLC0415 - only then
    from gapless.supervisor.upgrade import inheritance  # noqa: PLC0415 - only then

    given = inheritance.read(argument)
    if given.trial:
        from gapless.supervisor.upgrade import trial  # noqa: PLC0415 - only then

        descriptors.close_all_but(given.kept())
        sys.exit(trial.run(home, given))
    from gapless.supervisor.upgrade.successor import Successor  # noqa: PLC0415 - only then

    successor = Successor(given)
    try:
        with interpreter.importing():
            from gapless.supervisor.supervisor import (  # noqa: PLC0415 - only then
                Supervisor,
            )

        descriptors.prepare()
        successor.prepare()
        supervisor = Supervisor(
            home,
            _keeper_of(home),
            given.lock,
            unit.of_environment(os.environ, os.getpid()),
            resume_all=False,
            started_by=given.started_by or succession.COMMAND,
            given=given,
        )
    except Exception as error:  # noqa: BLE001 - told, and another one supervises
        successor.stand_in(_describe(error))
    successor.has_taken_over()
    is_unit = given.started_by == succession.SUPERVISE
    _serve(home, given.lock, supervisor, is_unit=is_unit)


def _begin(home: str, own_unit: unit.Unit, *, is_asked: bool) -> int:
    """Return the lock, -1 if another supervisor answers and *is_asked*: a command waits.

    Raises UnavailableError if the last ones have crashed at once and a command waits, or
    if another one holds the lock for long and does not answer.
    """
    until, pause_s = clock.monotonic() + LOCK_S, PAUSE_S
    while clock.monotonic() < until:
        lock = _lock(home)
        if lock >= 0:
            last, now = lives.read(lock), clock.boottime()
            wait_s = lives.wait_s(last, now)
            if last is None or not wait_s:
                life = lives.following(last, pid=os.getpid(), now=now)
                lives.write(lock, life)
                return lock
            os.close(lock)
            if is_asked:
                raise _crashes(last, wait_s)
            why = _crashes(last, wait_s).message
            faults.write(f"gapless: {why}")
            own_unit.waits(why)
            select.select([], [], [], wait_s)
            until = clock.monotonic() + LOCK_S
            continue
        # Another one was faster and may not listen yet, or it is about to end.
        if _answers(home):
            if is_asked:
                return -1
            _take_over(home)
        select.select([], [], [], pause_s)
        pause_s = min(1.2 * pause_s, LONGEST_PAUSE_S)
    from gapless.base.errors import UnavailableError  # noqa: PLC0415 - late
    from gapless.base.kernel import hung  # noqa: PLC0415 - rare

    message, hint = hung.of_both(Home(home), LOCK_S)
    raise UnavailableError(message, hint=hint)


def _crashes(last: lives.Life, wait_s: float) -> GaplessError:
    """Return what a command is told that would start one more."""
    from gapless.base.errors import UnavailableError  # noqa: PLC0415 - late

    reason = f" ({last.reason})" if last.reason else ""
    return UnavailableError(
        f"the supervisor has ended {last.short_before + 1} times in a row right after its "
        f"start{reason}: the next attempt is in {wait_s:.0f} s",
        hint="the apps serve on; why is in logs/supervisor.err of GAPLESS_HOME, or in the "
        "journal of its unit",
    )


def _note_end(lock: int, reason: str) -> None:
    """Write down why this supervisor ends, for the next."""
    lives.fail(lock, reason, pid=os.getpid(), now=clock.boottime())


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
        try:
            line = keeper_run.connect(home, CONNECT_S)
            if line is None:
                keeper_run.start(home)
                line = keeper_run.connect(home, CONNECT_S)
        except BlockingIOError:
            raise _keeper_hangs(home) from None
        except keeper_run.KeeperDiedError:
            deaths += 1
            if deaths == MOST_DEATHS:
                raise
            continue
        if line is not None:
            return line
        # An earlier supervisor has started one that does not listen yet, or one ends.
        select.select([], [], [], PAUSE_S)
    raise OSError("a keeper lives, and does not listen")


def _keeper_hangs(home: str) -> GaplessError:
    from gapless.base.errors import UnavailableError  # noqa: PLC0415 - late
    from gapless.base.kernel import hung  # noqa: PLC0415 - rare

    message, hint = hung.of_keeper_at_start(Home(home))
    return UnavailableError(message, hint=hint)


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


def _write_pid(home: str, pid: bytes) -> None:
    """Write the pid for scripts, or nothing: it may be another process's soon."""
    with contextlib.suppress(OSError):  # a full disk: nothing here needs to read it
        descriptor = files.open_own(
            f"{home}/supervisor.pid", os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        )
        try:
            os.write(descriptor, pid)
        finally:
            os.close(descriptor)


def _answers(home: str) -> bool:
    """Return whether a supervisor listens on the control socket."""
    try:
        kind = socket.SOCK_STREAM
        keeper_run.connect_to(home, "supervisor.sock", kind, CONNECT_S).close()
    except BlockingIOError:
        return True  # it is there, and so many wait for it that it takes no more
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
