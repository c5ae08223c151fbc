"""The control socket: who may connect, and how many at a time.

The protocol is written down in spec/control.md.  Connections on which nothing is asked are
few and short, so that a command always gets through, also when no descriptor is left.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable

from gapless.base import descriptors, events, files, peer
from gapless.base.errors import UnavailableError
from gapless.supervisor.control.control_connection import ControlConnection
from gapless.supervisor.control.request import Request

MOST_CONNECTIONS = 4096
MOST_IDLE = 64
"""Without a request, or with an answer that is not read yet; the oldest is closed first."""
BACKLOG = 1024
"""A client that finds it full waits; a flood of those that ask nothing must not fill it."""
MOST_ACCEPTED = 64
"""In one turn of the loop."""


class ControlSocket:
    """Listens on the control socket."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        home: str,
        serve: Callable[[Request, ControlConnection], None],
        log: events.Log,
    ) -> None:
        self._selector, self._serve, self._log = selector, serve, log
        self._connections: dict[ControlConnection, None] = {}
        """The oldest first."""
        self._path = f"{home}/supervisor.sock"
        self._listener, self._identity = _listen(home)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

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
            self._selector, sock, self._serve, self._ended, self._log
        )
        self._connections[connection] = None
        if sum(each.is_idle for each in self._connections) > MOST_IDLE:
            self._close_idle()

    def _ended(self, connection: ControlConnection) -> None:
        self._connections.pop(connection, None)

    def _close_idle(self) -> bool:
        """Close the oldest connection on which nothing is done; return whether one was."""
        for connection in self._connections:
            if connection.is_idle:
                connection.close()
                return True
        return False

    def flush(self) -> None:
        """Send every client what was queued since the last time."""
        for connection in list(self._connections):
            connection.flush()

    def expire(self, now: float) -> None:
        """End the connections whose deadline is over."""
        for connection in list(self._connections):
            connection.expire(now)

    def wait_until(self) -> float | None:
        """Return the next deadline of a connection; None if there is none."""
        found = (each.deadline for each in self._connections)
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


def _listen(home: str) -> tuple[socket.socket, tuple[int, int]]:
    """Return the listening socket, and the identity of its name."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(home, os.O_PATH | os.O_DIRECTORY)
    try:
        # By way of /proc a path has no limit of 107 bytes (unix(7)).
        beside = f"/proc/self/fd/{directory}/supervisor.sock.{os.getpid()}"
        before = os.umask(0o177)
        try:
            listener.bind(beside)
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
        identity = files.identity(beside)
        # A client that finds the socket finds it listening.
        os.rename(beside, f"/proc/self/fd/{directory}/supervisor.sock")
    finally:
        os.close(directory)
    listener.setblocking(False)
    return listener, identity
