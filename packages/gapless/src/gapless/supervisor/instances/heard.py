"""The newest messages of programs on Node's channel, for those who ask for them.

Rule: they are kept for a while and never stored: at most `MOST` of them, none longer than
`notify.LONGEST_MESSAGE_BYTES`, and each has a number that grows.
They are checked when somebody asks: what a program sends costs the supervisor little.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from gapless.base import clock, codec
from gapless.supervisor.instances import notify

MOST = 256


class Heard:
    """Keeps messages."""

    def __init__(self) -> None:
        self._kept: deque[tuple[dict[str, Any], bytes]] = deque(maxlen=MOST)
        self.last = 0
        """The number of the newest message."""

    def add(self, app: str, identity: int, pid: int, line: bytes) -> None:
        """Keep a message of an instance of an app."""
        self.last += 1
        about = {"number": self.last, "app": app, "id": identity, "pid": pid}
        self._kept.append(({**about, "at": clock.wall()}, line))

    def since(self, number: int) -> list[dict[str, Any]]:
        """Return the messages with higher numbers; all, if *number* is of another life.

        Not those that are no JSON, and not metrics and actions.
        """
        first = number if number <= self.last else 0
        found = []
        for about, line in self._kept:
            if about["number"] > first:
                read = _read(line)
                at = clock.stamp(about["at"])
                found += [{**about, "at": at, "message": each} for each in read]
        return found


def _read(line: bytes) -> list[Any]:
    """Return the message on a line; nothing if it is not for others."""
    try:
        message = json.loads(line)
        codec.check_plain(message, "message")
    except (ValueError, RecursionError, codec.WrongTypeError):
        return []
    kind = message.get("type") if isinstance(message, dict) else None
    return [] if kind in (notify.MONITOR, notify.ACTION) else [message]
