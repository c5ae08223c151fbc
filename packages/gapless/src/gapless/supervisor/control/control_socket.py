"""The control socket: one request per connection, one JSON object per line.

A client that sends no valid request gets an error.  One that reads too slowly is dropped,
and what it requested goes on.  The protocol is written down in spec/control.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
from collections.abc import Callable
from typing import Any

from gapless.base import descriptors
from gapless.base.errors import GaplessError, MisuseError, UnavailableError

LONGEST_REQUEST_BYTES = 8 << 20
MOST_UNREAD_BYTES = 8 << 20
MOST_CONNECTIONS = 256
REFUSAL_S = 0.1
"""How long the supervisor waits for a request that it cannot serve."""


class ControlConnection:
    """The connection of one client."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        sock: socket.socket,
        serve: Callable[[dict[str, Any], ControlConnection], None],
        ended: Callable[[ControlConnection], None],
    ) -> None:
        self._selector, self._sock = selector, sock
        self._serve, self._ended = serve, ended
        self._received, self._unsent = b"", b""
        self._has_request = self._closing = False
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, self._go_on)

    def send(self, message: dict[str, Any], last: bool) -> None:
        """Queue one line; after the *last* one the connection is closed."""
        if self._sock.fileno() < 0:
            return
        self._unsent += json.dumps(message).encode() + b"\n"
        self._closing |= last

    def flush(self) -> None:
        """Send the queued lines, once what they report is remembered."""
        if self._sock.fileno() >= 0 and (self._unsent or self._closing):
            self._flush()

    def fail(self, error: GaplessError) -> None:
        """Send an error as the last line."""
        self.send({"error": error.describe()}, last=True)

    def _go_on(self) -> None:
        try:
            self._read()
        except BlockingIOError:
            self._flush()
        except OSError:
            self.close()

    def _read(self) -> None:
        piece = self._sock.recv(65536)
        if not piece:
            self.close()
            return
        if self._has_request:
            return  # one request per connection; the rest is ignored
        self._received += piece
        line, newline, _ = self._received.partition(b"\n")
        if newline:
            self._has_request = True
            self._received = b""
            self._take_request(line)
        elif len(self._received) > LONGEST_REQUEST_BYTES:
            self.fail(MisuseError("the request is too long"))

    def _take_request(self, line: bytes) -> None:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            self.fail(MisuseError("the request is not a line of JSON"))
            return
        if not isinstance(request, dict):
            self.fail(MisuseError("the request is not a JSON object"))
            return
        try:
            self._serve(request, self)
        except GaplessError as error:
            self.fail(error)

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if len(self._unsent) > MOST_UNREAD_BYTES or (
            self._closing and not self._unsent
        ):
            self.close()
            return
        events = selectors.EVENT_READ
        if self._unsent:
            events |= selectors.EVENT_WRITE
        self._selector.modify(self._sock, events, self._go_on)

    def close(self) -> None:
        """Close the connection."""
        if self._sock.fileno() >= 0:
            self._selector.unregister(self._sock)
            self._sock.close()
            self._ended(self)


class ControlSocket:
    """Listens on the control socket."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        home: str,
        serve: Callable[[dict[str, Any], ControlConnection], None],
    ) -> None:
        self._selector, self._serve = selector, serve
        self._connections: set[ControlConnection] = set()
        self._path = f"{home}/supervisor.sock"
        self._listener = _listen(home)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        sock = descriptors.accept(self._listener)
        if sock is None:
            return
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        uid = int.from_bytes(credentials[4:8], "little")
        if uid not in (0, os.getuid()) or len(self._connections) >= MOST_CONNECTIONS:
            sock.close()
            return
        if not descriptors.refill():
            _refuse(sock, UnavailableError("the supervisor is out of file descriptors"))
            descriptors.refill()
            return
        self._connections.add(
            ControlConnection(
                self._selector, sock, self._serve, self._connections.discard
            )
        )

    def flush(self) -> None:
        """Send every client what was queued since the last time."""
        for connection in list(self._connections):
            connection.flush()

    def close(self) -> None:
        """Close every connection, and remove the socket."""
        for connection in list(self._connections):
            connection.close()
        self._selector.unregister(self._listener)
        self._listener.close()
        if os.path.lexists(self._path):
            os.unlink(self._path)


def _refuse(sock: socket.socket, error: GaplessError) -> None:
    """Answer a connection that cannot be kept; its client has sent its request."""
    with sock, contextlib.suppress(OSError):
        sock.settimeout(REFUSAL_S)
        sock.recv(LONGEST_REQUEST_BYTES)
        sock.sendall(json.dumps({"error": error.describe()}).encode() + b"\n")


def _listen(home: str) -> socket.socket:
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
        listener.listen(64)
        # A client that finds the socket finds it listening.
        os.rename(beside, f"/proc/self/fd/{directory}/supervisor.sock")
    finally:
        os.close(directory)
    listener.setblocking(False)
    return listener
