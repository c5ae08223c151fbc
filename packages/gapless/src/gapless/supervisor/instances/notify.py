"""What instances notify: systemd's datagrams and Node's lines of JSON.  Pure.

NOTIFY_SOCKET: sd_notify(3), newline-separated assignments in one datagram.
NODE_CHANNEL_FD: one JSON value per line, as child_process with `serialization: json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gapless.base.outside import text

LONGEST_LINE_BYTES = 16 << 10
"""Of what a line may say, metrics are longest; one that is longer says nothing."""
LONGEST_MESSAGE_BYTES = 8192
"""A longer message that is for others is left out."""
LONGEST_SENT_BYTES = 32_000
"""A line as long is sent whole or not at all: the kernel has it in one piece."""
MOST_PARSED, MOST_MESSAGES = 128, 32
"""Of what comes at once; metrics are sent again, and of messages the newest stay."""
_TOO_LONG = b"." * (LONGEST_LINE_BYTES + 1)
_READY, _LONGEST_READY = b'"ready"', 64
"""As JSON.stringify writes it."""
_MARK = b'"axm:'
"""Only lines with it are parsed: all others are for those who ask for messages."""
MONITOR, ACTION = "axm:monitor", "axm:action"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What an instance has told the supervisor."""

    ready: bool = False
    stopping: bool = False
    status: str = ""
    metrics: tuple[Any, ...] = ()
    """What messages of the type `axm:monitor` have, unchecked."""
    actions: tuple[Any, ...] = ()
    """What messages of the type `axm:action` have, unchecked."""
    messages: tuple[bytes, ...] = ()
    """Lines that are not too long, but for `ready`; unchecked."""

    def then(self, later: Notification) -> Notification:
        """Return what both say, of which the other came later."""
        return Notification(
            ready=self.ready or later.ready,
            stopping=self.stopping or later.stopping,
            status=later.status or self.status,
        )


def parse_datagram(datagram: bytes) -> Notification:
    """Return what a datagram says; unknown assignments and garbage are ignored."""
    ready = stopping = False
    status = ""
    for line in datagram.decode(errors="replace").split("\n"):
        name, _, value = line.partition("=")
        match name:
            case "READY" if value == "1":
                ready = True
            case "STOPPING" if value == "1":
                stopping = True
            case "STATUS":
                status = text.printable(value[:200])
            case _:
                pass
    return Notification(ready=ready, stopping=stopping, status=status)


def says_ready(buffered: bytes) -> bool:
    """Return whether one of the complete lines says that the program is ready."""
    return any(_is_ready(line) for line in buffered.split(b"\n")[:-1])


def _is_ready(line: bytes) -> bool:
    return len(line) <= _LONGEST_READY and line.strip() == _READY


def parse_lines(buffered: bytes) -> tuple[Notification, bytes]:
    """Return what complete lines say, and the incomplete rest.

    Of a line that is too long to say anything no more is kept than that.
    """
    *lines, rest = buffered.split(b"\n")
    ready = False
    found: dict[str, list[Any]] = {MONITOR: [], ACTION: []}
    messages, parsed = [], 0
    for line in lines:
        if _is_ready(line):
            ready = True
            continue
        if len(line) > LONGEST_LINE_BYTES or not line.strip():
            continue
        if _MARK in line and parsed < MOST_PARSED:
            parsed += 1
            kind, content = _parsed(line)
            if kind in found:
                found[kind].append(content)
                continue
        if len(line) <= LONGEST_MESSAGE_BYTES:
            messages.append(line)
    said = Notification(
        ready=ready,
        metrics=tuple(found[MONITOR]),
        actions=tuple(found[ACTION]),
        messages=tuple(messages[-MOST_MESSAGES:]),
    )
    return said, _TOO_LONG if len(rest) > LONGEST_LINE_BYTES else rest


def _parsed(line: bytes) -> tuple[str, Any]:
    """Return the type of a message, and what it has; an empty type if it has none."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return "", None
    kind = message.get("type") if isinstance(message, dict) else None
    return (kind, message.get("data")) if isinstance(kind, str) else ("", None)


SHUTDOWN = b'"shutdown"\n'
"""The line that asks a Node program to end."""
