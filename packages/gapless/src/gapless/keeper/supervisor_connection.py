"""The keeper's end of the connection to the supervisor (spec/keeper.md).

Rule: a message stays in the socket until it was carried out, and what is sent because of it
was sent.  A keeper that dies is followed by one that goes on with the same connection, and
carries out the one message again: each may come twice.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable

from gapless.base import clock, descriptors, wire
from gapless.base.kernel import peer
from gapless.keeper.guardian.reserve import Reserve

LISTEN_BACKLOG = 16
MESSAGES_PER_TURN = 100
"""Then the instances have their turn."""
MOST_UNREAD = 100_000
"""No buffer of a socket holds so many messages."""
LONGEST_REASON = 500
LISTENER, CONNECTION = "listener", "connection"
"""By these names the sockets are kept."""
_GREETED, _NEW = b"greeted", b"new"


class SupervisorConnection:
    """The connection to the supervisor; a new one takes the place of the old one."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        home: str,
        *,
        reserve: Reserve,
        on_open: Callable[[], None],
        on_message: Callable[[wire.Message, list[int], bytes], None],
        on_loss: Callable[[], None],
    ) -> None:
        """Listen.  Raises OSError.

        *on_message* gets a message, its descriptors, which are closed afterwards, and its
        text.  What it raises is the answer to that message, and nothing else: the
        supervisor is gone when its end of the connection is closed.
        """
        self._selector, self._reserve = selector, reserve
        self._on_open, self._on_message, self._on_loss = on_open, on_message, on_loss
        self._channel: wire.Channel | None = None
        self._is_announced = False
        self.closed_since = clock.monotonic()
        """Since when there is no supervisor, while there is none."""
        self._listener = self._kept(LISTENER) or _listen(home)
        self._listener.setblocking(False)
        reserve.put(LISTENER, b"", self._listener.fileno())
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _kept(self, name: str) -> socket.socket | None:
        kept = self._reserve.named(name).get("")
        if kept is None or not kept.descriptors:
            return None
        return socket.socket(fileno=kept.descriptors[0])

    def recover(self) -> bool:
        """Go on with the connection of a keeper before this one; return if it had one.

        Whether that supervisor was `greeted`, its answer may be on its way or not.
        """
        sock = self._kept(CONNECTION)
        if sock is None:
            return False
        self._open(sock)
        return True

    @property
    def greeted(self) -> bool:
        """Whether the supervisor was sent all that the keeper has."""
        return self._reserve.value(CONNECTION) == _GREETED

    @property
    def is_open(self) -> bool:
        """Whether a supervisor is connected."""
        return self._channel is not None

    def unread(self) -> bool | None:
        """Return whether something that was sent is not read; None without a supervisor."""
        return None if self._channel is None else self._channel.is_unread()

    def send(self, message: wire.Message, *lent: int) -> None:
        """Send a message; does nothing while there is no supervisor.

        Descriptors that were sent once are closed with `close_descriptor` only.
        """
        if self._channel is None:
            return
        try:
            self._channel.send(message, lent, lent=True)
        except ConnectionError:
            # The supervisor is gone; what it sent before its end is still to be read.
            self._channel.drop_outgoing()
        except (OSError, ValueError, RecursionError):
            return  # this one cannot be sent; those that come can
        else:
            self._watch()

    def close_descriptor(self, descriptor: int) -> None:
        """Close a descriptor, once the messages that it goes with were sent."""
        if self._channel is None:
            os.close(descriptor)
        else:
            self._channel.close_descriptor(descriptor)

    def _accept(self) -> None:
        sock = descriptors.accept(self._listener)
        if sock is None:
            return
        _, uid = peer.credentials_of(sock)
        if uid not in (0, os.getuid()):
            sock.close()
            return
        if self._channel is not None:  # what it had sent is not lost with it
            self._read(MOST_UNREAD, heeded=False)
        self._reserve.put(CONNECTION, _NEW, sock.fileno())
        if self._channel is not None:
            self._close()
        self._open(sock)
        self._on_open()
        self.announced()

    def announced(self) -> None:
        """Note that the supervisor was sent all that it has to be sent at first."""
        self._is_announced = True
        self._watch()

    def _open(self, sock: socket.socket) -> None:
        self._channel, self._is_announced = wire.Channel(sock), False
        self._selector.register(sock, selectors.EVENT_READ, self._receive)

    def _receive(self) -> None:
        self._read(MESSAGES_PER_TURN)

    def _read(self, most: int, *, heeded: bool = True) -> None:
        """Carry out messages; unless *heeded*, what is sent because of them may be lost."""
        channel = self._channel
        for _ in range(most):
            if channel is None or channel is not self._channel:
                return
            _flush(channel)
            if channel.outgoing and heeded:
                break  # they would be carried out, and the answers be lost with us
            try:
                self._take(*channel.peek())
            except BlockingIOError:
                break
            except wire.LackingError as error:
                self._answer_fault(error.message, error)
            except ValueError as error:
                self._answer_fault({}, error)
            except (EOFError, ConnectionError):
                self._lose()
                return
            except OSError:  # out of memory: what has come waits
                descriptors.pause()
                break
            if channel is self._channel:
                channel.discard()
        self._watch()

    def _take(self, message: wire.Message, received: list[int], encoded: bytes) -> None:
        """Let a message be carried out; one that cannot be is answered."""
        try:
            try:
                self._on_message(message, received, encoded)
            finally:
                for descriptor in received:
                    os.close(descriptor)
        except Exception as error:  # noqa: BLE001 - no message ends the keeper
            self._answer_fault(message, error)

    def _answer_fault(self, message: wire.Message, error: Exception) -> None:
        """Say what was wrong with a message, and with which."""
        named = {
            field: message[field]
            for field in ("op", "key", "name")
            if isinstance(message.get(field), str)
        }
        reason = getattr(error, "strerror", None) or str(error) or repr(error)
        event = {"event": "misunderstood", **named, "reason": reason[:LONGEST_REASON]}
        if named.get("op") == "spawn" and "key" in named:
            event["event"] = "refused"
        self.send(event)

    def _watch(self) -> None:
        """Wait for messages; while something waits to be sent, also for room."""
        if self._channel is None:
            return
        events = selectors.EVENT_READ
        if self._channel.outgoing:
            events = selectors.EVENT_WRITE
        elif self._is_announced and not self.greeted:
            self._reserve.put(CONNECTION, _GREETED)
        self._selector.modify(self._channel.sock, events, self._receive)

    def _lose(self) -> None:
        if self._channel is not None:
            self._reserve.drop(CONNECTION)
            self._close()

    def _close(self) -> None:
        assert self._channel is not None
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
