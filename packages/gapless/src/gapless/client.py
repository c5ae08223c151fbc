"""How every face talks to the supervisor, and starts it when nobody answers."""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
import subprocess
from collections.abc import Callable
from typing import Any

from gapless.base import errors, interpreter
from gapless.base import home as base_home
from gapless.base.errors import NotFoundError, TimedOutError, UnavailableError
from gapless.base.names import Home
from gapless.keeper import run as keeper_run

START_S = 20.0
MOST_SUPERVISORS = 5
Hear = Callable[[dict[str, Any]], None]


class Client:
    """Asks one supervisor; each request has a connection of its own."""

    def __init__(self, home: str = "") -> None:
        self.home = Home(home or base_home.path())

    def request(self, op: str, *, hear: Hear | None = None, **fields: Any) -> Any:
        """Ask, and return the result; *hear* is told each event before.

        A supervisor that is not there is started.  One that dies on the way is started
        too, and asked how what was under way has ended.  Raises GaplessError.
        """
        token = secrets.token_hex(8)
        wish = {"op": op, "token": token, **fields}
        app = fields.get("app") or (fields.get("spec") or {}).get("name")
        message = wish
        for _ in range(MOST_SUPERVISORS):
            try:
                return self._converse(message, hear)
            except ConnectionError:
                if app is not None:
                    message = {"op": "follow", "app": app, "token": token}
            except NotFoundError:
                if message is wish:
                    raise
                message = wish  # it died before it had written down what we want
        raise UnavailableError(
            f"the supervisor ended {MOST_SUPERVISORS} times before it answered {op}",
            hint=f"its last words are in {self.home.logs}/supervisor.err",
        )

    def is_running(self) -> bool:
        """Tell whether a supervisor answers; starts none."""
        try:
            self._connect().close()
        except OSError:
            return False
        return True

    def has_state(self) -> bool:
        """Tell whether there is something to ask about; starts no supervisor."""
        return self.is_running() or os.path.exists(self.home.state)

    def is_kept(self) -> bool:
        """Tell whether a keeper holds what a supervisor left."""
        if not os.path.exists(self.home.keeper):
            return False
        try:
            line = keeper_run.connect(self.home.path)
        except OSError:
            return False
        if line is None:
            return False
        line.close()
        return True

    def _converse(self, message: dict[str, Any], hear: Hear | None) -> Any:
        with self._reach() as sock, sock.makefile("rb") as lines:
            sock.sendall(json.dumps(message).encode() + b"\n")
            for line in lines:
                said = json.loads(line)
                if "result" in said:
                    return said["result"]
                if "error" in said:
                    raise errors.from_wire(said["error"])
                if hear is not None:
                    hear(said)
        raise ConnectionResetError("the supervisor hung up")

    def _reach(self) -> socket.socket:
        try:
            return self._connect()
        except (ConnectionRefusedError, FileNotFoundError):
            self.start()
        except PermissionError:
            raise UnavailableError(
                f"may not talk to the supervisor of {self.home.path}",
                hint="it belongs to another user; set GAPLESS_HOME",
            ) from None
        try:
            return self._connect()
        except OSError as error:
            raise UnavailableError(
                f"started the supervisor, but could not reach it: {error.strerror}",
                hint=f"its last words are in {self.home.logs}/supervisor.err",
            ) from error

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            directory = os.open(self.home.path, os.O_PATH | os.O_DIRECTORY)
            try:
                # By way of /proc a path has no limit of 107 bytes (unix(7)).
                sock.connect(f"/proc/self/fd/{directory}/supervisor.sock")
            finally:
                os.close(directory)
        except BaseException:
            sock.close()
            raise
        return sock

    def start(self) -> None:
        """Start the supervisor in the background; return when it answers.

        Raises UnavailableError with its reason, TimedOutError.
        """
        self.make_home()
        read_end, write_end = os.pipe()
        try:
            with open(f"{self.home.logs}/supervisor.err", "ab") as last_words:
                subprocess.Popen(
                    interpreter.python(
                        "gapless.supervisor.run", [self.home.path, str(write_end)]
                    ),
                    stdin=subprocess.DEVNULL,
                    stdout=last_words,
                    stderr=last_words,
                    pass_fds=(write_end,),
                    start_new_session=True,
                    cwd="/",
                )
        finally:
            os.close(write_end)
        try:
            if not select.select([read_end], [], [], START_S)[0]:
                raise TimedOutError(f"the supervisor did not start in {START_S:g} s")
            answer = os.read(read_end, 65536).decode()
        finally:
            os.close(read_end)
        if answer.startswith("error "):
            raise errors.from_wire(json.loads(answer.removeprefix("error ")))
        if not answer.startswith("ok"):
            raise UnavailableError(
                "the supervisor died while it started",
                hint=f"its last words are in {self.home.logs}/supervisor.err",
            )

    def make_home(self) -> None:
        """Make GAPLESS_HOME, readable by its owner only.  Raises UnavailableError."""
        try:
            os.makedirs(self.home.path, mode=0o700, exist_ok=True)
            os.makedirs(self.home.logs, mode=0o700, exist_ok=True)
        except OSError as error:
            raise UnavailableError(
                f"could not make GAPLESS_HOME {self.home.path}: {error.strerror}",
                hint="set GAPLESS_HOME to a directory that you may write to",
            ) from error
