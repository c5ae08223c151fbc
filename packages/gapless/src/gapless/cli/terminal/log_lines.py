"""The lines of a log as `logs` was asked to show them: as objects, with times.  Pure.

A line is shown when it is complete.  One that stood in the file before has no time: nobody
knows it, unless the log itself says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

BOTH, COPY = "both", "copy"
"""A log of both streams; one of both beside a log of each."""
_MARKED = "\x1b[7m{}\x1b[27m"
"""Reversed, and back (ECMA-48, 8.3.117)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whose lines they are."""

    app: str
    stream: str
    """out or err, as PM2 calls it, or one of the words above."""
    identity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a line is shown."""

    is_json: bool = False
    is_pairs: bool = False
    highlight: str = ""
    stamp: Callable[[], str] | None = None
    """The time of now in the form that was asked for."""
    now: Callable[[], str] = str
    """The time of now, as ISO 8601."""

    def changes(self) -> bool:
        """Return whether lines are shown otherwise than as they are."""
        return bool(self.is_json or self.is_pairs or self.highlight or self.stamp)


class LogLines:
    """Turns the pieces of one log into lines in a form."""

    def __init__(self, source: Source, form: Form) -> None:
        self._source, self._form = source, form
        self._waiting = b""
        self.is_live = False
        """Whether what comes was printed just now."""

    def shown(self, piece: bytes) -> bytes:
        """Return the lines that a piece completes."""
        *lines, self._waiting = (self._waiting + piece).split(b"\n")
        return b"".join(self._line(each) + b"\n" for each in lines)

    def rest(self) -> bytes:
        """Return the line that nothing completed."""
        rest, self._waiting = self._waiting, b""
        return self._line(rest) + b"\n" if rest else b""

    def _line(self, line: bytes) -> bytes:
        form, source = self._form, self._source
        if not (form.is_json or form.is_pairs):
            if form.highlight:
                word = form.highlight
                line = line.replace(word.encode(), _MARKED.format(word).encode())
            if form.stamp is not None and self.is_live:
                line = form.stamp().encode() + b" " + line
            return line
        if form.is_json and _is_object(line):
            return line  # log_type json: it has its own time
        text = line.decode(errors="replace")
        time = form.now() if self.is_live else None
        if form.is_json:
            found = {
                "message": text,
                "timestamp": time,
                "type": "err" if source.stream == "err" else "out",
                "process_id": source.identity,
                "app_name": source.app,
            }
            return json.dumps(found, ensure_ascii=False).encode()
        kind = "error" if source.stream == "err" else "out"
        pairs = f"app={source.app} id={source.identity} type={kind} message={text}"
        return f"timestamp={time or '-'} {pairs}".encode()


def _is_object(line: bytes) -> bool:
    if not line.startswith(b'{"message":'):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
