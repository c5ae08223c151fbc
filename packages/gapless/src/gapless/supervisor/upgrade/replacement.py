"""The supervisor that runs lets another version take its place.

1. A trial of the new version runs beside it.  If that fails, nothing has changed.
2. It forks.  The child goes on as the supervisor, with all that it holds.  The process
   itself, whose pid a unit, a container or an operator knows, becomes the new version
   (execve(2)), imports it, and says so.  If that fails, the child stays the supervisor.
3. The child writes down what it knows, says so, and does nothing more.  From then until
   the new version has taken over nobody answers; who connects waits.
4. The new version says that it has taken over, and the child ends.  If it cannot, the
   child takes all of it back.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import selectors
import signal
import socket
from collections.abc import Callable
from typing import Any

import gapless
from gapless.base import clock, descriptors, events, files
from gapless.base.errors import ConflictError, GaplessError, UnavailableError, from_wire
from gapless.supervisor.control.control_connection import ControlConnection
from gapless.supervisor.control.request import Request
from gapless.supervisor.upgrade import installed
from gapless.supervisor.upgrade.inheritance import Inheritance, Running

TRIAL_S = 60.0
"""How long a new version may take to say whether it could take over."""
PREPARE_S = 60.0
"""How long it may take to start."""
TAKE_OVER_S = 30.0
"""How long it may take to take over; after that it is killed."""
LONGEST_OUTPUT_BYTES = 64_000
STARTED, BEGIN, DONE = b"started", b"begin", b"done"
"""What the two say to each other on their socket; all else is an error, as JSON."""
HELD = (signal.SIGTERM, signal.SIGINT)
"""Wait from the moment in which the new version begins until it can act on them."""


class Stage(enum.Enum):
    """How far a replacement is."""

    NONE = "none"
    TRIED = "tried"
    """The trial runs."""
    FORKS = "forks"
    """The trial has passed."""
    PREPARES = "prepares"
    """This process is the child, and the new version starts."""
    HANDS_OVER = "hands over"


class Replacement:
    """Lets another version take the place of this supervisor."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        home: str,
        *,
        notes: Callable[[], dict[str, Any]],
        wake: Callable[[], None],
        inherits: Callable[[], Inheritance],
        stays: Callable[[], None],
        log: events.Log,
    ) -> None:
        """Use *wake* to end the turn of the loop, so that the supervisor looks at `stage`.

        *notes* are those of all apps as they are now; *inherits* is what is handed on.
        *stays* is called in a child that stays the supervisor.
        """
        self._selector, self._home, self._log = selector, home, log
        self._notes, self._wake, self._inherits = notes, wake, inherits
        self._stays = stays
        self.stage = Stage.NONE
        self._argv: list[str] = []
        self.token = ""
        """Of the request under way."""
        self._waiters: list[ControlConnection] = []
        self._deadline: float | None = None
        self._pid, self._output, self._received = 0, -1, b""
        """Of the trial."""
        self._version, self._files = "", ""
        """What the trial has tried."""
        self._line: socket.socket | None = None
        self._successor = 0
        """The pid of the new version, which was ours."""

    # --- the request ----------------------------------------------------------------------

    def begin(self, request: Request, connection: ControlConnection) -> None:
        """Begin the trial, or let a client that asks again wait for the one under way.

        Raises GaplessError.
        """
        if self.stage is not Stage.NONE:
            if not request.token or request.token != self.token:
                raise ConflictError("another upgrade is under way")
            self._waiters.append(connection)
            return
        self._argv, self.token = check_command(request.argv), request.token
        try:
            self._start_trial()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UnavailableError(
                f"could not start {self._argv[0]}: {reason}",
                hint="nothing was changed; is it there for the user of the supervisor?",
            ) from error
        self._waiters = [connection]
        self._enter(Stage.TRIED, TRIAL_S)

    def _enter(self, stage: Stage, at_most_s: float | None) -> None:
        self.stage = stage
        self._deadline = None if at_most_s is None else clock.monotonic() + at_most_s
        self._log.write("upgrade", stage=stage.value, version=self._version)

    def wait_until(self) -> float | None:
        """Return when `expire` has something to do; None if nothing is under way."""
        return self._deadline

    def expire(self, now: float) -> None:
        """End a trial or a start that takes too long."""
        if self._deadline is None or now < self._deadline:
            return
        if self.stage is Stage.TRIED:
            self._end_trial(f"it has not said so in {TRIAL_S:g} s")
        elif self.stage is Stage.PREPARES:
            self._not_prepared(f"it has not started in {PREPARE_S:g} s")

    def _tell(self, step: str, **fields: Any) -> None:
        for waiter in self._waiters:
            waiter.send({"event": "upgrade", "step": step, **fields}, last=False)

    def _failed(self, error: GaplessError) -> None:
        """Tell that nothing has changed, and be as before."""
        self._log.write("upgrade-failed", reason=error.message)
        for waiter in self._waiters:
            waiter.fail(error)
        self._waiters, self.token, self._deadline = [], "", None
        self.stage = Stage.NONE

    # --- the trial ------------------------------------------------------------------------

    def _start_trial(self) -> None:
        notes = os.memfd_create("notes", os.MFD_CLOEXEC)
        read_end, write_end = os.pipe()
        try:
            with os.fdopen(os.dup(notes), "wb") as file:
                file.write(json.dumps(self._notes()).encode())
            descriptors.hand_on({notes})
            given = Inheritance(trial=True, notes=notes).argument()
            self._pid = os.posix_spawn(
                self._argv[0],
                [*self._argv, self._home, given],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, write_end, 1),
                    (os.POSIX_SPAWN_DUP2, write_end, 2),
                ],
                setpgroup=0,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(notes)
            os.close(write_end)
        os.set_blocking(read_end, False)
        self._output, self._received = read_end, b""
        self._selector.register(read_end, selectors.EVENT_READ, self._read_trial)

    def _read_trial(self) -> None:
        try:
            piece = os.read(self._output, 65_536)
        except BlockingIOError:
            return
        self._received = (self._received + piece)[-LONGEST_OUTPUT_BYTES:]
        if not piece:
            self._end_trial("")

    def _end_trial(self, reason: str) -> None:
        """Take the answer of the trial; *reason*: why there is none."""
        self._selector.unregister(self._output)
        os.close(self._output)
        self._output = -1
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        try:
            answer = read_answer(self._received, reason)
        except GaplessError as error:
            self._failed(error)
            return
        self._version, self._files = str(answer["version"]), str(answer["files"])
        self._tell("tried", version=self._version, package=answer.get("package"))
        self._enter(Stage.FORKS, None)
        self._wake()

    # --- two processes --------------------------------------------------------------------

    def fork(self) -> None:
        """Become the child that goes on; the process itself becomes the new version.

        If that cannot be started, everything is as it was.
        """
        self._successor = os.getpid()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read_end, write_end = os.pipe()
        try:
            child = fork_supervisor()
        except OSError as error:
            for each in (ours, theirs):
                each.close()
            os.close(read_end)
            os.close(write_end)
            self._failed(UnavailableError(f"could not fork: {error.strerror}"))
            return
        if child:
            ours.close()
            os.close(read_end)
            failure = self._become_successor(child, theirs, write_end)
            theirs.close()
            self._failed(failure)
            return
        theirs.close()
        os.close(write_end)
        has_failed = os.read(read_end, 1)
        os.close(read_end)
        if has_failed:
            os._exit(0)
        self._line = ours
        ours.setblocking(False)
        self._selector.register(ours, selectors.EVENT_READ, self._hear)
        self._enter(Stage.PREPARES, PREPARE_S)

    def _become_successor(
        self, child: int, line: socket.socket, failure: int
    ) -> GaplessError:
        """Become the new version; return why that failed, once the child has ended."""
        given = self._inherits()
        before = Running(
            version=gapless.__version__,
            pid=os.getpid(),
            package=installed.package_directory(),
        )
        inheritance = Inheritance(
            line=line.fileno(),
            lock=given.lock,
            listener=given.listener,
            listener_at=given.listener_at,
            started_by=given.started_by,
            serving=child,
            token=self.token,
            before=before,
            files=self._files,
        )
        before_mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
        try:
            descriptors.restore_limits()
            descriptors.hand_on(inheritance.kept())
            os.execve(
                self._argv[0],
                [*self._argv, self._home, inheritance.argument()],
                os.environ,
            )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
        descriptors.hand_on(set())
        descriptors.prepare()
        os.write(failure, b"f")
        os.close(failure)
        os.waitpid(child, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before_mask)
        return UnavailableError(
            f"could not start {self._argv[0]}: {reason}", hint="nothing was changed"
        )

    def _hear(self) -> None:
        """Take in what the new version says before it takes over."""
        assert self._line is not None
        try:
            said = self._line.recv(LONGEST_OUTPUT_BYTES)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said == STARTED:
            self._enter(Stage.HANDS_OVER, None)
            self._wake()
        else:
            self._not_prepared(_reason_in(said) or "it died while it started")

    def _not_prepared(self, reason: str) -> None:
        """Stay the supervisor: the new version did not start."""
        assert self._line is not None
        self._selector.unregister(self._line)
        self._line.close()
        self._line = None
        self._stays()
        self._failed(
            UnavailableError(
                f"version {self._version} did not start: {reason}",
                hint=f"the supervisor goes on as it was, with pid {os.getpid()}",
            )
        )

    def hand_over(self) -> str:
        """Let the new version take over; end this process when it has.

        The caller has written down all that it knows, and told the waiting clients.
        Returns why it could not: then everything is to be taken back.
        """
        assert self._line is not None
        self._line.settimeout(TAKE_OVER_S)
        try:
            self._line.send(BEGIN)
            said = self._line.recv(LONGEST_OUTPUT_BYTES)
        except TimeoutError:
            said = files.as_json({"message": f"not within {TAKE_OVER_S:g} s"})
            self._kill_successor()
        except OSError:
            said = b""
        if said == DONE:
            os._exit(0)
        return _reason_in(said) or "it died while it took over"

    def _kill_successor(self) -> None:
        """Kill the new version: two must not supervise."""
        if os.getppid() == self._successor:
            os.kill(self._successor, signal.SIGKILL)

    def announce(self) -> None:
        """Tell the clients that nobody answers from now on until it is over."""
        self._tell("handing over", version=self._version)


def fork_supervisor() -> int:
    """Fork; both processes are supervisors."""
    return os.fork()


def _reason_in(said: bytes) -> str:
    """Return the message of an error that the new version has sent; empty without one."""
    try:
        plain = json.loads(said)
    except ValueError:
        return ""
    return str(plain.get("message", ""))[:2000] if isinstance(plain, dict) else ""


def read_answer(output: bytes, reason: str = "") -> dict[str, Any]:
    """Return what a trial has answered in its last line.  Raises GaplessError.

    *reason* says why it was ended, if it was.
    """
    lines = output.decode(errors="replace").strip().splitlines()
    try:
        answer: Any = json.loads(lines[-1]) if lines and not reason else None
    except ValueError:
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        raise from_wire(answer["error"])
    if isinstance(answer, dict) and "version" in answer and "files" in answer:
        return answer
    last = reason or (lines[-1][:500] if lines else "it died, and printed nothing")
    raise UnavailableError(
        f"the installed version does not start: {last}", hint=installed.HINT
    )


def check_command(argv: list[str]) -> list[str]:
    """Return the command of the new version, if it can be one.  Raises UnavailableError."""
    if not argv or not os.path.isabs(argv[0]):
        raise UnavailableError(f"{argv[:1]} is not the absolute path of a program")
    return argv
