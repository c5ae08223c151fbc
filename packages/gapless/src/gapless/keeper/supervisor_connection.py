"""The keeper's end of the connection to the supervisor (spec/keeper.md)."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable

from gapless.base import clock, wire

LISTEN_BACKLOG = 16


class SupervisorConnection:
    """The connection to the supervisor; a new one takes the place of the old one."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        home: str,
        *,
        on_open: Callable[[], None],
        on_message: Callable[[wire.Message, list[int]], None],
        on_loss: Callable[[], None],
    ) -> None:
        """Listen.  Raises OSError.

        *on_message* gets a message and its descriptors, which are closed afterwards.
        """
        self._selector = selector
        self._on_open, self._on_message, self._on_loss = on_open, on_message, on_loss
        self._channel: wire.Channel | None = None
        self.closed_since = clock.monotonic()
        """Since when there is no supervisor, while there is none."""
        self._listener = _listen(home)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    @property
    def is_open(self) -> bool:
        """Whether a supervisor is connected."""
        return self._channel is not None

    def send(self, message: wire.Message, *descriptors: int) -> None:
        """Send a message; does nothing while there is no supervisor."""
        if self._channel is None:
            return
        try:
            self._channel.send(message, descriptors)
        except OSError:
            # The supervisor is gone; what it sent before its end is still to be read.
            self._channel.drop_outgoing()
        else:
            self._watch()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        if _peer_uid(sock) not in (0, os.getuid()):
            sock.close()
            return
        if self._channel is not None:
            self._receive()  # what the one before had sent is not lost with it
            self._lose()
        self._channel = wire.Channel(sock)
        self._selector.register(sock, selectors.EVENT_READ, self._receive)
        self._on_open()

    def _receive(self) -> None:
        channel = self._channel
        try:
            while channel is not None and channel is self._channel:
                _flush(channel)
                message, descriptors = channel.receive()
                try:
                    self._on_message(message, descriptors)
                finally:
                    for descriptor in descriptors:
                        os.close(descriptor)
        except BlockingIOError:
            self._watch()
        except (EOFError, OSError):
            self._lose()
        except (ValueError, KeyError, TypeError) as error:
            self.send({"event": "misunderstood", "reason": repr(error)})

    def _watch(self) -> None:
        """Wait for messages; while something waits to be sent, also for room."""
        if self._channel is not None:
            events = selectors.EVENT_READ
            if self._channel.outgoing:
                events |= selectors.EVENT_WRITE
            self._selector.modify(self._channel.sock, events, self._receive)

    def _lose(self) -> None:
        if self._channel is None:
            return
        self._selector.unregister(self._channel.sock)
        self._channel.close()
        self._channel = None
        self.closed_since = clock.monotonic()
        self._on_loss()


def _flush(channel: wire.Channel) -> None:
    try:
        channel.flush()
    except OSError:
        channel.drop_outgoing()


def _listen(home: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    directory = os.open(home, os.O_PATH | os.O_DIRECTORY)
    try:
        path = f"/proc/self/fd/{directory}/keeper.sock"
        if os.path.lexists(path):
            os.unlink(path)
        umask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(umask)
    finally:
        os.close(directory)
    listener.listen(LISTEN_BACKLOG)
    listener.setblocking(False)
    return listener


def _peer_uid(sock: socket.socket) -> int:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], "little")
