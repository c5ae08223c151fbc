"""The lines of a log as `logs` was asked to show them: as objects, with times.  Pure.

A line is shown when it is complete.  One that stood in the file before has no time: nobody
knows it, unless the log itself says so.  Lines in the formats of gapless say their stream,
too: those of both streams can be told apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

BOTH, COPY = "both", "copy"
"""A log of both streams; one of both beside a log of each."""
_TEXT = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00) \d+\.\d+ (out|err) \| ?(.*)",
    re.DOTALL,
)
"""A line of the format `text` (keeper/logs/rendering.py)."""
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

    only: str = ""
    """out or err: lines of the other stream are left out, if they say that they are."""
    is_json: bool = False
    is_pairs: bool = False
    highlight: str = ""
    stamp: Callable[[], str] | None = None
    """The time of now in the form that was asked for."""
    now: Callable[[], str] = str
    """The time of now, as ISO 8601."""

    def changes(self) -> bool:
        """Return whether lines are shown otherwise than as they are."""
        changed = self.is_json or self.is_pairs or self.highlight or self.stamp
        return bool(changed or self.only)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """What a line in a format of gapless says."""

    time: str
    stream: str
    message: str


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
        return b"".join(
            self._line(each) + b"\n" for each in lines if self.is_wanted(each)
        )

    def is_wanted(self, line: bytes) -> bool:
        """Return whether a line is of the stream that was asked for."""
        only = self._form.only
        if not only or self._source.stream not in (BOTH, COPY):
            return True
        found = _read(line)
        return found is None or found.stream == only

    def rest(self) -> bytes:
        """Return the line that nothing completed."""
        rest, self._waiting = self._waiting, b""
        return self._line(rest) + b"\n" if rest and self.is_wanted(rest) else b""

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
        own = _read(line)
        text = own.message if own else line.decode(errors="replace")
        stream = own.stream if own else source.stream
        time = form.now() if self.is_live else None
        time = own.time if own else time
        if form.is_json:
            found = {
                "message": text,
                "timestamp": time,
                "type": "err" if stream == "err" else "out",
                "process_id": source.identity,
                "app_name": source.app,
            }
            return json.dumps(found, ensure_ascii=False).encode()
        kind = "error" if stream == "err" else "out"
        pairs = f"app={source.app} id={source.identity} type={kind} message={text}"
        return f"timestamp={time or '-'} {pairs}".encode()


def _read(line: bytes) -> _Line | None:
    """Return what a line in a format of gapless says; None if it is in no such format."""
    if found := _TEXT.match(line):
        time, stream, message = (
            each.decode(errors="replace") for each in found.groups()
        )
        return _Line(time=time, stream=stream, message=message)
    if not line.startswith((b'{"time":', b'{"message":')):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    said = [
        row.get("time") or row.get("timestamp"),
        row.get("stream") or row.get("type"),
        row.get("message"),
    ]
    if not all(isinstance(each, str) for each in said):
        return None
    return _Line(time=said[0], stream=said[1], message=said[2])


def _is_object(line: bytes) -> bool:
    if not line.startswith(b'{"message":'):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
