"""The client of the supervisor: sends requests, and starts a supervisor if none runs."""

from __future__ import annotations

import errno
import itertools
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from gapless.base import clock, errors, files, interpreter
from gapless.base import home as base_home
from gapless.base.errors import (
    GaplessError,
    NotFoundError,
    TimedOutError,
    UnavailableError,
)
from gapless.base.names import Home
from gapless.base.outside import own_directory
from gapless.exchange import PING_S, Exchange, Silence
from gapless.keeper import run as keeper_run

START_S = 20.0
SLOW_START_S = 5.0
"""Then the user is told what a supervisor that starts waits for."""
MOST_SUPERVISORS = 5
PAUSE_S = 0.2
"""Between two attempts, if the same supervisor has closed the connection."""
APPS_IN_A_REQUEST = 50
Kind = TypeVar("Kind")
OnEvent = Callable[[dict[str, Any]], None]


def in_parts(all_of_them: Iterable[Kind]) -> Iterator[list[Kind]]:
    """Yield lists of as many apps as go into one request, and into one answer."""
    rest = iter(all_of_them)
    while part := list(itertools.islice(rest, APPS_IN_A_REQUEST)):
        yield part


class _StartDiedError(UnavailableError):
    """A supervisor died while it started; the next one may live."""


class _NothingRunsError(Exception):
    """What was to be shut down has ended by itself meanwhile."""


class _Told:
    """Passes events on, each one once: whoever asks again is told the steps again."""

    def __init__(self, on_event: OnEvent | None) -> None:
        self._on_event = on_event
        self._before: set[str] = set()

    def __call__(self, event: dict[str, Any]) -> None:
        text = json.dumps(event, sort_keys=True)
        if self._on_event is not None and text not in self._before:
            self._before.add(text)
            self._on_event(event)


class Client:
    """Sends requests to one supervisor; each request has a connection of its own."""

    def __init__(self, home: str = "", *, starts: bool = True) -> None:
        """Use *starts* = False for a command that only looks.

        It starts nothing where nothing runs, and is answered from the state that is
        stored: every app is stopped.  Raises UnavailableError for a home that somebody else
        may have filled.
        """
        self.home = Home(home or base_home.path())
        own_directory.check(self.home.path)
        self._starts = starts

    # --- requests ---------------------------------------------------------------------

    def request(
        self, op: str, *, on_event: OnEvent | None = None, **fields: Any
    ) -> Any:
        """Send a request and return its result; *on_event* gets each event before.

        A supervisor that does not run is started, but none only to shut down: it would
        forget what the one before has ended.  One that dies meanwhile is started too, and
        is asked how the operation under way has ended.  Raises GaplessError.
        """
        if not self._starts and not self.lives():
            return self._stored(op, fields)
        token = str(fields.pop("token", "")) or os.urandom(8).hex()
        told = _Told(on_event)
        request = {"op": op, "token": token, **fields}
        app = fields.get("app") or (fields.get("spec") or {}).get("name")
        message, deaths = request, 0
        pids: list[int] = []
        while True:
            try:
                return self._exchange(message, told, pids)
            except _NothingRunsError:
                return {"shut_down": True}
            except (ConnectionError, _StartDiedError) as error:
                deaths += 1
                if deaths == MOST_SUPERVISORS:
                    raise self._gave_up(op, error, pids) from error
                if pids[-2:-1] == pids[-1:]:  # it lives, and is not to be pressed
                    select.select([], [], [], PAUSE_S)
                if app is not None:
                    message = {"op": "follow", "app": app, "token": token}
            except NotFoundError:
                if message is request:
                    raise
                message = request  # the supervisor died before it had written it down

    def _gave_up(self, op: str, error: Exception, pids: list[int]) -> GaplessError:
        if isinstance(error, _StartDiedError):
            return error
        ended = len(set(pids)) - 1
        what = f"ended {ended} times and " if ended else ""
        return UnavailableError(
            f"the supervisor {what}closed the connection {len(pids) - ended} times "
            f"before it answered {op}",
            hint=self._error_output_hint,
        )

    def _exchange(self, message: dict[str, Any], told: _Told, pids: list[int]) -> Any:
        with self._connect_or_start(message["op"]) as sock:
            exchange = Exchange(sock, self.home, lambda: self._connect(PING_S))
            pids.append(exchange.pid)
            for received in exchange.answers(message):
                if "result" in received:
                    return received["result"]
                if "error" in received:
                    raise errors.from_wire(received["error"])
                told(received)
        raise ConnectionResetError("the supervisor closed the connection")

    def _stored(self, op: str, fields: dict[str, Any]) -> Any:
        """Return the answer where nothing runs.  Raises GaplessError."""
        from gapless.supervisor.stored import Stored  # noqa: PLC0415 - rare

        if op == "list":
            return Stored(self.home.path).list()
        if op == "describe":
            return Stored(self.home.path).describe(str(fields.get("app")))
        raise UnavailableError(
            f"{op}: no supervisor runs here",
            hint="the unit of systemd, or any command that changes an app, starts it",
        )

    def _connect_or_start(self, op: str) -> socket.socket:
        try:
            return self._connect_patiently()
        except (ConnectionRefusedError, FileNotFoundError):
            if op == "shutdown" and not self.left_serving():
                raise _NothingRunsError from None
            self.start()
        except PermissionError as error:
            raise self._stranger(error) from None
        try:
            return self._connect_patiently()
        except OSError as error:
            raise _StartDiedError(
                f"started the supervisor, but could not reach it: {error.strerror}",
                hint=self._error_output_hint,
            ) from error

    def _stranger(self, error: PermissionError) -> UnavailableError:
        reason = (error.strerror or str(error)).lower()
        return UnavailableError(
            f"may not connect to the supervisor of {self.home.path}: {reason}",
            hint="it belongs to another user; set GAPLESS_HOME",
        )

    def _connect_patiently(self) -> socket.socket:
        """Connect, also if many commands wait before this one.  Raises OSError."""
        silence = Silence(self.home, lambda: self._connect(PING_S))
        while True:
            try:
                return self._connect(PING_S)
            except BlockingIOError:
                silence.goes_on()

    def _connect(self, timeout_s: int = PING_S) -> socket.socket:
        return keeper_run.connect_to(
            self.home.path, "supervisor.sock", socket.SOCK_STREAM, timeout_s
        )

    # --- what runs already ------------------------------------------------------------

    def is_running(self) -> bool:
        """Return whether a supervisor answers; starts none.  Raises UnavailableError."""
        try:
            self._connect().close()
        except PermissionError as error:
            raise self._stranger(error) from None
        except OSError:
            return False
        return True

    def ping(self, timeout_s: int = PING_S) -> dict[str, Any] | None:
        """Return what the supervisor says of itself; None if none answers in time."""
        return self.glance("ping", timeout_s)

    def glance(
        self, op: str, timeout_s: int = PING_S, **fields: str
    ) -> dict[str, Any] | None:
        """Return the answer of a supervisor that runs; None if none comes in time.

        For who looks again soon: nothing is started, waited for or printed.
        """
        try:
            found = self.ask(op, timeout_s=timeout_s, **fields)
        except GaplessError:
            return None
        return found if isinstance(found, dict) else None

    def ask(self, op: str, *, timeout_s: float, **fields: str) -> Any:
        """Return the result of a request to a supervisor that runs; starts none.

        For programs that are apps themselves: a supervisor that one of them started would
        end with it.  Raises UnavailableError, TimedOutError, GaplessError.
        """
        until = clock.monotonic() + timeout_s
        received = bytearray()
        try:
            with self._connect(PING_S) as sock:
                sock.sendall(json.dumps({"op": op, **fields}).encode() + b"\n")
                while (left_s := until - clock.monotonic()) > 0:
                    sock.settimeout(left_s)
                    if not (piece := sock.recv(1 << 16)):
                        break
                    received += piece
                else:
                    raise TimeoutError
            answer = json.loads(received.splitlines()[-1] if received else b"{}")
        except (TimeoutError, BlockingIOError):
            raise TimedOutError(
                f"the supervisor has not answered {op} in {timeout_s:g} s"
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UnavailableError(f"no supervisor answers {op}: {reason}") from error
        if "error" in answer:
            raise errors.from_wire(answer["error"])
        if "result" not in answer:
            raise UnavailableError(f"the supervisor ended before it answered {op}")
        return answer["result"]

    def has_apps(self) -> bool:
        """Return whether apps run here, or are to run; starts nothing.

        After a boot, or a crash of everything, they are to run; after `gapless shutdown`
        they are not.
        """
        if self.lives():
            return True
        try:
            state = files.read_own_json(self.home.state)
        except (OSError, ValueError):
            return True  # the supervisor names what is wrong with it
        return state is not None and not (
            isinstance(state, dict) and state.get("shut_down")
        )

    def lives(self) -> bool:
        """Return whether a supervisor runs, or apps that one has left behind."""
        return self.is_running() or self.left_serving()

    def left_serving(self) -> bool:
        """Return whether apps may serve though no supervisor runs.

        A keeper has them, or nothing of gapless has outlived its end.
        """
        if self.has_keeper():
            return True
        from gapless.supervisor import noted_processes  # noqa: PLC0415 - rare

        return noted_processes.any_lives(self.home)

    def has_keeper(self) -> bool:
        """Return whether a keeper runs, with or without a supervisor.

        A socket of another kind is refused by the kernel, in other words if somebody
        listens: a keeper takes every connection for its next supervisor.
        """
        try:
            kind = socket.SOCK_STREAM
            keeper_run.connect_to(self.home.path, "keeper.sock", kind).close()
        except OSError as error:
            return error.errno == errno.EPROTOTYPE
        return False

    # --- start ------------------------------------------------------------------------

    def start(self) -> None:
        """Start the supervisor in the background; return when it answers.

        Raises UnavailableError with its reason, TimedOutError.
        """
        if os.environ.get("GAPLESS_STARTS") == "no":
            self._wait_for_another()
            return
        self.make_home()
        read_end, write_end = os.pipe()
        try:
            how = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            opened = files.open_own(self._error_output, how)
            with os.fdopen(opened, "ab") as error_output:
                subprocess.Popen(
                    interpreter.python(
                        "gapless.supervisor.run", [self.home.path, str(write_end)]
                    ),
                    stdin=subprocess.DEVNULL,
                    stdout=error_output,
                    stderr=error_output,
                    pass_fds=(write_end,),
                    start_new_session=True,
                    cwd="/",
                )
        finally:
            os.close(write_end)
        try:
            self._wait_for_start(read_end)
            answer = os.read(read_end, 65536).decode()
        finally:
            os.close(read_end)
        if answer.startswith("error "):
            raise errors.from_wire(json.loads(answer.removeprefix("error ")))
        if not answer.startswith("ok"):
            raise _StartDiedError(
                "the supervisor died while it started", hint=self._error_output_hint
            )

    def _wait_for_start(self, read_end: int) -> None:
        """Wait for the word of a supervisor that starts.  Raises TimedOutError."""
        if select.select([read_end], [], [], SLOW_START_S)[0]:
            return
        from gapless.base.kernel import hung  # noqa: PLC0415 - for one that is silent

        message, hint = hung.of_start(self.home)
        sys.stderr.write(f"gapless: {message}; waiting\nhint: {hint}\n")
        sys.stderr.flush()
        if not select.select([read_end], [], [], START_S - SLOW_START_S)[0]:
            message, hint = hung.of_start(self.home)
            raise TimedOutError(
                f"the supervisor did not start in {START_S:g} s: {message}", hint=hint
            )

    def _wait_for_another(self) -> None:
        """Wait for a supervisor that somebody else starts.  Raises UnavailableError.

        One that this process started would be in the sandbox of its unit, and so would be
        the apps.
        """
        until = clock.monotonic() + START_S
        while not self.is_running():
            if clock.monotonic() >= until:
                raise UnavailableError(
                    "no supervisor runs here, and GAPLESS_STARTS=no forbids to start one",
                    hint="systemctl start gapless-USER, the unit of `gapless startup`",
                )
            select.select([], [], [], PAUSE_S)

    def make_home(self) -> None:
        """Make GAPLESS_HOME, readable by its owner only.  Raises UnavailableError."""
        try:
            files.make_directories(self.home.path, files.PRIVATE_DIRECTORY)
            own_directory.check(self.home.path)
            own_directory.tighten(self.home.path)
            files.make_directories(self.home.logs, files.PRIVATE_DIRECTORY)
        except OSError as error:
            raise UnavailableError(
                f"could not make GAPLESS_HOME {self.home.path}: {error.strerror}",
                hint="set GAPLESS_HOME to a directory that you may write to",
            ) from error

    @property
    def _error_output(self) -> str:
        return f"{self.home.logs}/supervisor.err"

    @property
    def _error_output_hint(self) -> str:
        return f"its error output is in {self._error_output}"
