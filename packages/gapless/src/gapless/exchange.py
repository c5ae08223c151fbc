"""One exchange with a supervisor, which may be stopped or busy: the client says so.

A supervisor that works on a request may be silent for long.  Whether it lives is asked on a
second connection, which an old request does not keep it from answering.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from gapless.base import clock, peer
from gapless.base.errors import TimedOutError

SILENT_S = 5.0
"""How long a supervisor may be silent before it is asked whether it lives."""
PING_S = 3
GIVE_UP_S = 60.0
"""How long a supervisor may answer nothing at all."""


class Silence:
    """The time since a supervisor has answered anything."""

    def __init__(self, pid: int, connect: Callable[[], socket.socket]) -> None:
        """Ask the supervisor with that pid, 0 if unknown, on what *connect* returns."""
        self._pid, self._connect = pid, connect
        self._since = clock.monotonic()
        self._is_told = False

    def ends(self) -> None:
        """Note that the supervisor has answered."""
        self._since = clock.monotonic()

    def goes_on(self) -> None:
        """Ask whether the supervisor lives, and tell the user if it does not answer.

        Raises TimedOutError when it has not for `GIVE_UP_S`.
        """
        if self._answers():
            self.ends()
            return
        silent_s = clock.monotonic() - self._since
        message, hint = self._describe(silent_s)
        if silent_s >= GIVE_UP_S:
            raise TimedOutError(message, hint=hint)
        if not self._is_told:
            self._is_told = True
            sys.stderr.write(f"gapless: {message}; waiting\nhint: {hint}\n")
            sys.stderr.flush()

    def _answers(self) -> bool:
        try:
            with self._connect() as sock:
                sock.settimeout(PING_S)
                sock.sendall(b'{"op": "ping"}\n')
                return bool(sock.recv(1))
        except OSError:
            return False

    def _describe(self, silent_s: float) -> tuple[str, str]:
        """Return what is the matter, and what to do."""
        named = f" (pid {self._pid})" if self._pid else ""
        what = f"the supervisor{named} has not answered for {silent_s:.0f} s"
        # Only for a supervisor that is silent.
        from gapless.supervisor.kernel import processes  # noqa: PLC0415 - see above

        process = processes.read(self._pid)
        if process is not None and process.state in ("T", "t"):
            resume = f"`kill -CONT {self._pid}` lets it go on"
            return f"{what}: it is stopped (SIGSTOP)", f"{resume}; the apps serve on"
        return what, (
            "the apps serve on; if it stays so, end it by its pid: "
            "the next command starts another, which takes over"
        )


class Exchange:
    """A connection to a supervisor, on which one request is sent."""

    def __init__(
        self, sock: socket.socket, connect: Callable[[], socket.socket]
    ) -> None:
        """Use *connect* to ask on a second connection whether the supervisor lives."""
        self.pid, _ = peer.credentials_of(sock)
        """The process that listens at the other end."""
        self._sock, self._silence = sock, Silence(self.pid, connect)
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
