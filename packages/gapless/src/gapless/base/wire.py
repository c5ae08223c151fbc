"""Messages between processes of one host: JSON, with descriptors beside it.

Rule 1: a message is whole or absent; SOCK_SEQPACKET keeps the boundaries.
Rule 2: a peer that is stopped blocks no process: what does not fit waits in `outgoing`.
Rule 3: ConnectionError and EOFError mean that the peer is gone, and nothing else does: a
process that is out of descriptors or memory keeps its connection.
A message beyond the socket's buffer travels in a memfd (memfd_create(2)).
"""

from __future__ import annotations

import collections
import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
import termios
from dataclasses import dataclass, field
from typing import Any

from gapless.base import descriptors as own

LARGEST_MESSAGE_BYTES = 60_000
LARGEST_MEMORY_BYTES = 64 << 20
"""What a message in a memfd may have; one beyond is no message."""
MOST_DESCRIPTORS = 250  # SCM_MAX_FD is 253, unix(7)

Message = dict[str, Any]


class LackingError(ValueError):
    """A message came without its descriptors: this process had no room for them."""

    def __init__(self, message: Message) -> None:
        super().__init__(os.strerror(errno.EMFILE).lower())
        self.message = message


@dataclass(slots=True)
class Outgoing:
    """A message that waits to be sent."""

    encoded: bytes
    descriptors: list[int]
    closes: list[int] = field(default_factory=list)
    """What is closed when the message was sent, or is dropped."""
    memory: int = -1
    """The memfd that a large message is in, once it was made."""

    def close(self) -> None:
        """Close what belongs to the message."""
        while self.closes:
            os.close(self.closes.pop())


class Channel:
    """One end of a SOCK_SEQPACKET connection; owns its socket, never blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.outgoing: collections.deque[Outgoing] = collections.deque()

    def fileno(self) -> int:
        """Return the descriptor, for selectors."""
        return self.sock.fileno()

    def send(
        self, message: Message, descriptors: tuple[int, ...] = (), *, lent: bool = False
    ) -> None:
        """Queue *message* and send what fits.

        Descriptors that have to wait are duplicated, unless they are *lent*: then their
        owner closes them with `close_descriptor`.  Raises ConnectionError if the peer is
        gone, else OSError if nothing was queued.
        """
        encoded = json.dumps(message, separators=(",", ":")).encode()
        waiting = Outgoing(encoded, list(descriptors))
        self.outgoing.append(waiting)
        if self.flush() or lent or not descriptors:
            return
        try:
            self._own(waiting)
        except OSError:
            self.outgoing.pop()
            raise

    def _own(self, waiting: Outgoing) -> None:
        """Let a message that waits have copies of its descriptors.  Raises OSError."""
        copies: list[int] = []
        try:
            copies.extend(os.dup(each) for each in waiting.descriptors)
        except OSError:
            for copy in copies:
                os.close(copy)
            raise
        waiting.descriptors, waiting.closes = copies, list(copies)

    def flush(self) -> bool:
        """Send what waits; return whether nothing is left.

        Raises ConnectionError if the peer is gone, OSError for a message that cannot be
        sent, which is dropped.
        """
        while self.outgoing:
            try:
                self._send(self.outgoing[0])
            except BlockingIOError:
                return False
            except OSError as error:
                if own.is_shortage(error):
                    own.pause()
                    return False
                if isinstance(error, ConnectionError) or error.errno == errno.ENOTCONN:
                    raise BrokenPipeError(error.errno, error.strerror) from error
                self.outgoing.popleft().close()  # it can never be sent
                raise
            self.outgoing.popleft().close()
        return True

    def _send(self, waiting: Outgoing) -> None:
        encoded, descriptors = waiting.encoded, waiting.descriptors
        if len(encoded) > LARGEST_MESSAGE_BYTES:
            if waiting.memory < 0:
                waiting.memory = own.with_spare(_make_memory)
                waiting.closes.append(waiting.memory)
                _write_all(waiting.memory, encoded)
            encoded, descriptors = b"{}", [waiting.memory, *descriptors]
        socket.send_fds(self.sock, [encoded], descriptors)

    def is_unread(self) -> bool:
        """Return whether the peer has not read all that was sent: it may hang."""
        sent = fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4))  # SIOCOUTQ, unix(7)
        return bool(self.outgoing) or any(sent)

    def close_descriptor(self, descriptor: int) -> None:
        """Close a descriptor that was lent, or let a message that waits close it."""
        for waiting in reversed(self.outgoing):
            if descriptor in waiting.descriptors:
                waiting.closes.append(descriptor)
                return
        os.close(descriptor)

    def receive(self) -> tuple[Message, list[int]]:
        """Return the next message and its descriptors, which the caller closes.

        Raises BlockingIOError if there is none yet, EOFError or ConnectionError if the
        peer is gone, ValueError if it is not a message, LackingError if its descriptors
        did not come with it.
        """
        message, descriptors, _ = self._next(0)
        return message, descriptors

    def peek(self) -> tuple[Message, list[int], bytes]:
        """Return the same, and how the message came; `discard` removes it.

        Raises what `receive` raises.
        """
        return self._next(socket.MSG_PEEK)

    def discard(self) -> None:
        """Remove the message that `peek` returned, or about which it raised ValueError."""
        with contextlib.suppress(OSError):
            self.sock.recv(1)

    def _next(self, how: int) -> tuple[Message, list[int], bytes]:
        try:
            encoded, descriptors, flags = self._receive(how)
        except ConnectionResetError:
            # The peer closed with something unread.  The kernel reports that once, before
            # the messages that the peer had sent: they are still to be read.
            encoded, descriptors, flags = self._receive(how)
        try:
            if not encoded:
                raise EOFError("the peer closed its end")
            message, encoded = _decode(encoded, descriptors, flags)
        except (ValueError, EOFError):
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return message, descriptors, encoded

    def _receive(self, how: int) -> tuple[bytes, list[int], int]:
        return own.receive(self.sock, LARGEST_MESSAGE_BYTES + 1, MOST_DESCRIPTORS, how)

    def drop_outgoing(self) -> None:
        """Discard what waits to be sent: the peer is gone."""
        while self.outgoing:
            self.outgoing.popleft().close()

    def close(self) -> None:
        """Close the socket and every descriptor that still waits to be sent."""
        self.drop_outgoing()
        self.sock.close()


def _decode(
    encoded: bytes, descriptors: list[int], flags: int
) -> tuple[Message, bytes]:
    """Return a message, and its text.

    The memfd that it is in is taken from *descriptors* and closed.
    """
    if flags & socket.MSG_TRUNC:
        raise ValueError("message cut short")
    if encoded == b"{}" and descriptors:
        memory = descriptors.pop(0)
        try:
            encoded = _read_memory(memory)
        finally:
            os.close(memory)
    try:
        message = json.loads(encoded)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("not an object")  # noqa: TRY004 - callers expect one kind
    if flags & socket.MSG_CTRUNC:
        raise LackingError(message)
    return message, encoded


def _make_memory() -> int:
    return os.memfd_create("gapless-message")


def _write_all(memory: int, content: bytes) -> None:
    with memoryview(content) as view:
        written = 0
        while written < len(view):
            written += os.write(memory, view[written:])


def _read_memory(memory: int) -> bytes:
    """Return what is in a memfd.  Raises ValueError for anything else."""
    found = os.fstat(memory)
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_MEMORY_BYTES:
        raise ValueError(f"no message in a file of {found.st_size} bytes")
    try:
        pieces: list[bytes] = []
        while piece := os.pread(memory, found.st_size, sum(map(len, pieces))):
            pieces.append(piece)
            if len(pieces) > 64:  # it grows while it is read
                raise ValueError("the message grows")
    except OSError as error:
        raise ValueError(f"its file cannot be read: {error}") from error
    return b"".join(pieces)
