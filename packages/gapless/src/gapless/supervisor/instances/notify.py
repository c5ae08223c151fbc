"""What instances notify: systemd's datagrams and Node's lines of JSON.  Pure.

NOTIFY_SOCKET: sd_notify(3), newline-separated assignments in one datagram.
NODE_CHANNEL_FD: one JSON value per line, as child_process with `serialization: json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

LONGEST_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What an instance has told the supervisor."""

    ready: bool = False
    stopping: bool = False
    status: str = ""


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
                status = value[:200]
            case _:
                pass
    return Notification(ready=ready, stopping=stopping, status=status)


def parse_lines(buffered: bytes) -> tuple[Notification, bytes]:
    """Return what complete lines say, and the incomplete rest.

    A line that is no JSON is ignored; a rest beyond `LONGEST_LINE_BYTES` is dropped.
    """
    *lines, rest = buffered.split(b"\n")
    ready = any(_is_ready(line) for line in lines)
    return Notification(ready=ready), b"" if len(rest) > LONGEST_LINE_BYTES else rest


def _is_ready(line: bytes) -> bool:
    try:
        return bool(json.loads(line) == "ready")
    except (ValueError, RecursionError):
        return False


SHUTDOWN = b'"shutdown"\n'
"""The line that asks a Node program to end."""
