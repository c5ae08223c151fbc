"""Messages between processes of one host: JSON, with descriptors beside it.

Rule 1: a message is whole or absent; SOCK_SEQPACKET keeps the boundaries.
Rule 2: a peer that is stopped blocks no process: what does not fit waits in `outgoing`.
A message beyond the socket's buffer travels in a memfd (memfd_create(2)).
"""

from __future__ import annotations

import collections
import json
import os
import socket
from typing import Any

LARGEST_MESSAGE_BYTES = 60_000
MOST_DESCRIPTORS = 250  # SCM_MAX_FD is 253, unix(7)

Message = dict[str, Any]


class Channel:
    """One end of a SOCK_SEQPACKET connection; owns its socket, never blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.outgoing: collections.deque[tuple[bytes, list[int]]] = collections.deque()

    def fileno(self) -> int:
        """Return the descriptor, for selectors."""
        return self.sock.fileno()

    def send(self, message: Message, descriptors: tuple[int, ...] = ()) -> None:
        """Queue *message* and send what fits; *descriptors* are duplicated here.

        Raises OSError if the peer is gone.
        """
        encoded = json.dumps(message, separators=(",", ":")).encode()
        copies = [os.dup(descriptor) for descriptor in descriptors]
        if len(encoded) > LARGEST_MESSAGE_BYTES:
            memory = os.memfd_create("gapless-message")
            with os.fdopen(os.dup(memory), "wb") as file:
                file.write(encoded)
            encoded, copies = b"{}", [memory, *copies]
        self.outgoing.append((encoded, copies))
        self.flush()

    def flush(self) -> bool:
        """Send what waits; return whether nothing is left."""
        while self.outgoing:
            encoded, descriptors = self.outgoing[0]
            try:
                socket.send_fds(self.sock, [encoded], descriptors)
            except BlockingIOError:
                return False
            self.outgoing.popleft()
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def receive(self) -> tuple[Message, list[int]]:
        """Return the next message and its descriptors, which the caller closes.

        Raises BlockingIOError if there is none yet, EOFError if the peer is gone,
        ValueError if it is not a message.
        """
        try:
            encoded, descriptors, flags = self._receive()
        except ConnectionResetError:
            # The peer closed with something unread.  The kernel reports that once, before
            # the messages that the peer had sent: they are still to be read.
            encoded, descriptors, flags = self._receive()
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if not encoded:
            raise EOFError("the peer closed its end")
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ValueError("message cut short")
            if encoded == b"{}" and descriptors:
                with os.fdopen(descriptors.pop(0), "rb") as file:
                    file.seek(0)
                    encoded = file.read()
            message = json.loads(encoded)
            if not isinstance(message, dict):
                raise ValueError("not an object")  # noqa: TRY004 - callers expect one kind
        except ValueError:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return message, descriptors

    def _receive(self) -> tuple[bytes, list[int], int]:
        return socket.recv_fds(self.sock, LARGEST_MESSAGE_BYTES + 1, MOST_DESCRIPTORS)[
            :3
        ]

    def drop_outgoing(self) -> None:
        """Discard what waits to be sent: the peer is gone."""
        for _, descriptors in self.outgoing:
            for descriptor in descriptors:
                os.close(descriptor)
        self.outgoing.clear()

    def close(self) -> None:
        """Close the socket and every descriptor that still waits to be sent."""
        self.drop_outgoing()
        self.sock.close()
