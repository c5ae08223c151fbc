"""One connection to the port of an app, to find out whether an instance answers."""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections.abc import Callable

from gapless.supervisor.decide import http_check

_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound, looked up
Aim = Callable[[str, int], None]
"""Sends connections from an address and port to the socket that is asked; 0: no more."""
MOST_BYTES = 4096
"""An answer whose first line has not ended by then is none."""


class LivenessProbe:
    """Connects at once; asks when it is told to; calls `changed` when something came."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listener: socket.socket,
        began: float,
        changed: Callable[[], None],
        aim: Aim | None = None,
    ) -> None:
        """Connect to where *listener* listens.  Raises OSError."""
        self._selector, self._changed = selector, changed
        self._aim = aim
        self.began = began
        self.key = ""
        """The instance that has accepted it, once that is known."""
        self.connected = self.accepted = self.asked = False
        self.outcome: tuple[bool, str] | None = None
        """Whether the answer was good, and which it was."""
        self._answer = b""
        bound, port = listener.getsockname()[:2]
        self._host, self.port = _LOCAL.get(bound, bound), port
        self._sock = socket.socket(listener.family, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        try:
            if aim is not None:
                self._sock.bind((self._host, 0))
                aim(self._host, self._sock.getsockname()[1])
            number = self._sock.connect_ex((self._host, port))
            if number not in (0, errno.EINPROGRESS):
                raise OSError(number, os.strerror(number))
            self.client: tuple[str, int] = self._sock.getsockname()[:2]
            selector.register(self._sock, selectors.EVENT_WRITE, self._go_on)
        except OSError:
            self._sock.close()
            self._aim_no_more()
            raise

    def ask(self, path: str) -> None:
        """Send a request; its answer becomes the outcome."""
        self.asked = True
        try:
            self._sock.sendall(http_check.request(path, self._host, self.port))
        except OSError as error:
            self._over(passed=False, answer=_reason(error))

    def end(self) -> None:
        """Say that nothing is asked: a socket that waits for a first byte shows it then."""
        self.asked = True
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._over(passed=False, answer=_reason(error))

    def close(self) -> None:
        """Close the connection."""
        if self._sock.fileno() >= 0:
            if self._sock in self._selector.get_map():
                self._selector.unregister(self._sock)
            self._sock.close()
        self._aim_no_more()

    def _aim_no_more(self) -> None:
        """Let connections of its port go where all of its address go."""
        if self._aim is not None:
            self._aim(self._host, 0)
            self._aim = None

    def _go_on(self) -> None:
        try:
            if not self.connected:
                number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if number:
                    raise OSError(number, os.strerror(number))
                self.connected = True
                self._aim_no_more()
                self._selector.modify(self._sock, selectors.EVENT_READ, self._go_on)
                self._changed()
            else:
                self._read()
        except BlockingIOError:
            return
        except OSError as error:
            self._over(passed=False, answer=_reason(error))

    def _read(self) -> None:
        piece = self._sock.recv(MOST_BYTES)
        self._answer += piece
        if piece and b"\r\n" not in self._answer and len(self._answer) < MOST_BYTES:
            return
        not_http = "its answer is not HTTP"
        none = "it closed the connection unanswered"
        no_answer = False, not_http if self._answer else none
        passed, answer = http_check.verdict(self._answer) or no_answer
        self._over(passed=passed, answer=answer)

    def _over(self, *, passed: bool, answer: str) -> None:
        self.outcome = passed, answer
        if self._sock in self._selector.get_map():
            self._selector.unregister(self._sock)
        self._changed()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
