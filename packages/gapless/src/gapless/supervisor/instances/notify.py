"""What instances notify: systemd's datagrams and Node's lines of JSON.  Pure.

NOTIFY_SOCKET: sd_notify(3), newline-separated assignments in one datagram.
NODE_CHANNEL_FD: one JSON value per line, as child_process with `serialization: json`.
"""

from __future__ import annotations

from dataclasses import dataclass

from gapless.base.outside import text

LONGEST_LINE_BYTES = 64
"""No line that says something is so long; one that is says nothing."""
_TOO_LONG = b"." * (LONGEST_LINE_BYTES + 1)
_READY = b'"ready"'
"""As JSON.stringify writes it; other JSON says nothing to us, and is not parsed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What an instance has told the supervisor."""

    ready: bool = False
    stopping: bool = False
    status: str = ""

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


def parse_lines(buffered: bytes) -> tuple[Notification, bytes]:
    """Return what complete lines say, and the incomplete rest.

    Of a line that is too long to say anything no more is kept than that.
    """
    *lines, rest = buffered.split(b"\n")
    ready = any(
        line.strip() == _READY and len(line) <= LONGEST_LINE_BYTES for line in lines
    )
    return Notification(ready=ready), _TOO_LONG if len(
        rest
    ) > LONGEST_LINE_BYTES else rest


SHUTDOWN = b'"shutdown"\n'
"""The line that asks a Node program to end."""
