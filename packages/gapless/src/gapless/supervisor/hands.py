"""The supervisor's end of the line to the keeper."""

from __future__ import annotations

import os
import socket
from typing import Any

from gapless.base import wire


class Hands:
    """Asks the keeper to act; owns its own copy of every descriptor that it gave."""

    def __init__(self, channel: wire.Channel) -> None:
        self.channel = channel
        self._noted: dict[str, Any] = {}

    def hold(self, name: str, meta: Any, descriptor: int) -> None:
        """Let the keeper hold a copy of *descriptor*, so that it outlives us."""
        self.channel.send({"op": "hold", "name": name, "meta": meta}, (descriptor,))

    def release(self, name: str) -> None:
        """Let the keeper close its copy; it says `released` when it has."""
        self.channel.send({"op": "release", "name": name})

    def note(self, name: str, value: Any) -> None:
        """Let the keeper remember *value*, None to forget it; says nothing twice."""
        if self._noted.get(name) != value:
            self._noted[name] = value
            self.channel.send({"op": "note", "name": name, "value": value})

    def spawn(
        self, message: dict[str, Any], descriptors: dict[int, socket.socket]
    ) -> None:
        """Start a process; *descriptors* are put at the given numbers in it."""
        fields = {"op": "spawn", "targets": list(descriptors), **message}
        self.channel.send(fields, tuple(s.fileno() for s in descriptors.values()))

    def answer(self, key: str, call: int, action: str, **fields: Any) -> None:
        """Answer a system call: proceed, done, inject (held) or fail (errno)."""
        message = {"op": "answer", "key": key, "id": call, "action": action}
        self.channel.send(message | fields)

    def forget(self, key: str) -> None:
        """Drop what is remembered of a process that ended."""
        self.channel.send({"op": "forget", "key": key})

    def end(self) -> None:
        """Let the keeper end with its last child."""
        self.channel.send({"op": "end"})

    def events(self) -> list[tuple[wire.Message, list[int]]]:
        """Return what the keeper said since the last call.

        The descriptors are the caller's.  Raises EOFError if the keeper is gone.
        """
        said = []
        while True:
            try:
                said.append(self.channel.receive())
            except BlockingIOError:
                return said
            except ConnectionResetError as error:
                raise EOFError("the keeper is gone") from error


def close_all(descriptors: list[int]) -> None:
    """Close descriptors that came with an event and are not wanted."""
    while descriptors:
        os.close(descriptors.pop())
