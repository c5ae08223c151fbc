"""The control socket: who may connect, and how many at a time.

The protocol is written down in spec/control.md.  Connections on which nothing is asked are
few and short, so that a command always gets through, also when no descriptor is left.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable

from gapless.base import descriptors, events, files
from gapless.base.errors import UnavailableError
from gapless.base.kernel import peer
from gapless.supervisor.control.control_connection import ControlConnection
from gapless.supervisor.control.request import Request

MOST_CONNECTIONS = 4096
MOST_IDLE = 64
"""Without a request, or with an answer that is not read yet; the oldest is closed first."""
BACKLOG = 1024
"""A client that finds it full waits; a flood of those that ask nothing must not fill it."""
MOST_ACCEPTED = MOST_IDLE // 2
"""In one turn of the loop: those of the turn before may not have been read yet."""


class ControlSocket:
    """Listens on the control socket."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        home: str,
        serve: Callable[[Request, ControlConnection], None],
        log: events.Log,
        *,
        inherited: tuple[int, tuple[int, int]],
    ) -> None:
        """Listen on the socket that is *inherited*, and the identity of its name.

        If it is -1 the socket is made.
        """
        self._selector, self._serve, self._log = selector, serve, log
        self._connections: dict[ControlConnection, None] = {}
        """The oldest first."""
        self._changed: dict[ControlConnection, None] = {}
        """Those that have something to send, or a new deadline."""
        self._timed: dict[ControlConnection, None] = {}
        """Those that have a deadline."""
        self._idle: dict[ControlConnection, None] = {}
        """Those that were idle when they changed last, and may be still."""
        self._home, self._path = home, f"{home}/supervisor.sock"
        self._listen(*inherited)

    def _listen(self, descriptor: int, identity: tuple[int, int]) -> None:
        if descriptor < 0:
            self._listener, self._identity = descriptors.listen_at(
                self._home, "supervisor.sock", BACKLOG
            )
        else:
            self._identity = identity
            self._listener = socket.socket(fileno=descriptor)
            self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def listener(self) -> tuple[int, tuple[int, int]]:
        """Return the descriptor that listens, and the identity of its name."""
        return self._listener.fileno(), self._identity

    def listen_again(self) -> None:
        """Listen on a socket of this process: the kernel names it to clients as theirs."""
        self._selector.unregister(self._listener)
        self._listener.close()
        self._listen(-1, (0, 0))

    def _accept(self) -> None:
        for _ in range(MOST_ACCEPTED):
            sock = descriptors.accept(self._listener)
            if sock is None:
                return
            if descriptors.refill() or (self._close_idle() and descriptors.refill()):
                self._take(sock)
            else:
                _refuse(sock, "it has no descriptor left (ulimit -n)")

    def _take(self, sock: socket.socket) -> None:
        if not _may_connect(sock):
            sock.close()
            return
        if len(self._connections) >= MOST_CONNECTIONS and not self._close_idle():
            _refuse(sock, f"{MOST_CONNECTIONS} commands wait for it already")
            return
        connection = ControlConnection(
            self._selector,
            sock,
            self._serve,
            changed=self._changed.setdefault,
            ended=self._ended,
            log=self._log,
        )
        self._connections[connection] = self._changed[connection] = None
        self._idle[connection] = None
        if len(self._idle) > MOST_IDLE:
            self._idle = {each: None for each in self._idle if each.is_idle}
        if len(self._idle) > MOST_IDLE:
            self._close_idle()

    def _ended(self, connection: ControlConnection) -> None:
        for known in (self._connections, self._changed, self._timed, self._idle):
            known.pop(connection, None)

    def _close_idle(self) -> bool:
        """Close the oldest connection on which nothing is done; return whether one was."""
        for connection in self._idle:
            if connection.is_idle:
                connection.close()
                return True
        return False

    def flush(self) -> None:
        """Send every client what was queued since the last time."""
        while self._changed:
            connection, _ = self._changed.popitem()
            connection.flush()
            for known, belongs in (
                (self._timed, connection.deadline is not None),
                (self._idle, connection.is_idle),
            ):
                if belongs and connection in self._connections:
                    known.setdefault(connection)
                else:
                    known.pop(connection, None)

    def expire(self, now: float) -> None:
        """End the connections whose deadline is over."""
        for connection in list(self._timed):
            connection.expire(now)
        self.flush()

    def wait_until(self) -> float | None:
        """Return the next deadline of a connection; None if there is none."""
        found = (each.deadline for each in self._timed)
        return min((each for each in found if each is not None), default=None)

    def stop_listening(self) -> None:
        """Take no new connection, and remove the socket if it is still this one."""
        if self._listener.fileno() < 0:
            return
        self._selector.unregister(self._listener)
        self._listener.close()
        files.unlink_own(self._path, self._identity)

    def close(self) -> None:
        """Stop listening, and close every connection."""
        self.stop_listening()
        for connection in list(self._connections):
            connection.close()


def _may_connect(sock: socket.socket) -> bool:
    """Return whether a client is of our user, or root."""
    _, uid = peer.credentials_of(sock)
    return uid in (0, os.getuid())


def _refuse(sock: socket.socket, reason: str) -> None:
    """Answer a client that cannot be served, as far as it reads at once."""
    error = UnavailableError(f"the supervisor cannot take the command: {reason}")
    with sock:
        sock.setblocking(False)
        try:
            sock.send(files.as_json({"error": error.describe()}))
            sock.recv(65536)  # a close with the request unread would destroy the answer
        except OSError:
            return
