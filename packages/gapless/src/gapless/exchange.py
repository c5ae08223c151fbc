"""One exchange with a supervisor, which may be stopped or busy: the client says so.

A supervisor that works on a request may be silent for long.  Whether it lives is asked on a
second connection, which an old request does not keep it from answering.  It tells then
whether the keeper lives, without which it can do little.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from gapless.base import clock
from gapless.base.errors import TimedOutError
from gapless.base.kernel import peer
from gapless.base.names import Home

SILENT_S = 3.0
"""How long a supervisor may be silent before it is asked whether it lives."""
PING_S = 2
GIVE_UP_S = 60.0
"""How long a supervisor may answer nothing at all."""


class Silence:
    """The time since a supervisor has answered anything."""

    def __init__(
        self, home: Home, connect: Callable[[], socket.socket], *, pid: int = 0
    ) -> None:
        """Ask the supervisor with that pid, 0 if unknown, on what *connect* returns."""
        self._home, self._pid, self._connect = home, pid, connect
        self._since = clock.monotonic()
        self._told: set[str] = set()

    def ends(self) -> None:
        """Note that the supervisor has answered."""
        self._since = clock.monotonic()

    def goes_on(self) -> None:
        """Ask whether the supervisor lives, and tell the user who does not answer.

        Raises TimedOutError when it has not for `GIVE_UP_S`.
        """
        from gapless.base.kernel import hung  # noqa: PLC0415 - for one that is silent

        answer = self._ping()
        if answer is not None:
            self.ends()
            if (told := hung.of_keeper(answer)) is not None:
                self._tell("keeper", *told)
            return
        silent_s = clock.monotonic() - self._since
        message, hint = hung.of_both(self._home, silent_s, pid=self._pid)
        if silent_s >= GIVE_UP_S:
            raise TimedOutError(message, hint=hint)
        self._tell("supervisor", message, hint)

    def _tell(self, who: str, message: str, hint: str) -> None:
        """Write it once to standard error."""
        if who not in self._told:
            self._told.add(who)
            sys.stderr.write(f"gapless: {message}; waiting\nhint: {hint}\n")
            sys.stderr.flush()

    def _ping(self) -> dict[str, Any] | None:
        """Return what a supervisor says of itself; None if it says nothing."""
        try:
            with self._connect() as sock:
                sock.settimeout(PING_S)
                sock.sendall(b'{"op": "ping"}\n')
                with sock.makefile("rb") as lines:
                    found = json.loads(lines.readline() or b"null")
        except (OSError, ValueError):
            return None
        answer = found.get("result", {}) if isinstance(found, dict) else None
        return answer if isinstance(answer, dict) else None


class Exchange:
    """A connection to a supervisor, on which one request is sent."""

    def __init__(
        self, sock: socket.socket, home: Home, connect: Callable[[], socket.socket]
    ) -> None:
        """Use *connect* to ask on a second connection whether the supervisor lives."""
        self.pid, _ = peer.credentials_of(sock)
        """The process that listens at the other end."""
        self._sock, self._silence = sock, Silence(home, connect, pid=self.pid)
        sock.settimeout(SILENT_S)

    def answers(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Send a request, and return each line of the answer, decoded.

        Raises ConnectionError if the supervisor closes the connection in a line,
        TimedOutError.
        """
        self._send(json.dumps(message).encode() + b"\n")
        rest = b""
        while piece := self._receive():
            self._silence.ends()
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(json.loads, lines)

    def _send(self, unsent: bytes) -> None:
        while unsent:
            try:
                unsent = unsent[self._sock.send(unsent) :]
            except TimeoutError:
                self._silence.goes_on()
            except BrokenPipeError:
                return  # it was refused, and the answer says why

    def _receive(self) -> bytes:
        while True:
            try:
                return self._sock.recv(1 << 16)
            except TimeoutError:
                self._silence.goes_on()
