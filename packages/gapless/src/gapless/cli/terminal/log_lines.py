"""The lines of a log as `logs` was asked to show them: as objects, with times.  Pure.

A line is shown when it is complete.  One that stood in the file before has no time: nobody
knows it, unless the log itself says so.  Lines in the formats of gapless say their stream,
too: those of both streams can be told apart.  What an app prints of its own accord, an
object of other keys too, is a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BOTH, COPY = "both", "copy"
"""A log of both streams; one of both beside a log of each."""
_TEXT = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00) \d+\.\d+ (out|err) \| ?(.*)",
    re.DOTALL,
)
"""A line of the format `text` (keeper/logs/rendering.py)."""
_OBJECTS = (
    {"time", "app", "generation", "ordinal", "stream", "message"},
    {"message", "timestamp", "type", "process_id", "app_name"},
)
"""The keys of the formats `json` and `pm2-json`."""
_IN_ONE_LINE = {ord("\n"): "\\n", ord("\r"): "\\r"}
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
                line = line.replace(_bytes(word), _bytes(_MARKED.format(word)))
            if form.stamp is not None and self.is_live:
                line = _bytes(form.stamp()) + b" " + line
            return line
        if form.is_json and _object(line, (b'{"message":',)) is not None:
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
            # Half of a pair is written as JSON writes it: \ud83d.
            encoded = json.dumps(found, ensure_ascii=False)
            return encoded.encode(errors="backslashreplace")
        kind = "error" if stream == "err" else "out"
        pairs = f"app={source.app} id={source.identity} type={kind} message={text}"
        shown = f"timestamp={time or '-'} {pairs}".translate(_IN_ONE_LINE)
        return shown.encode(errors="backslashreplace")


def _read(line: bytes) -> _Line | None:
    """Return what a line in a format of gapless says; None if it is in no such format."""
    if found := _TEXT.match(line):
        time, stream, message = (
            each.decode(errors="replace") for each in found.groups()
        )
        return _Line(time=time, stream=stream, message=message)
    row = _object(line, (b'{"time":', b'{"message":'))
    if row is None or row.keys() not in _OBJECTS:
        return None
    said = [
        row["time"] if "time" in row else row["timestamp"],
        row["stream"] if "stream" in row else row["type"],
        row["message"],
    ]
    if not all(isinstance(each, str) for each in said) or said[1] not in ("out", "err"):
        return None
    return _Line(time=said[0], stream=said[1], message=said[2])


def _object(line: bytes, begins: tuple[bytes, ...]) -> dict[str, Any] | None:
    if not line.startswith(begins):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _bytes(text: str) -> bytes:
    """Return what was typed as the bytes that it had."""
    return text.encode(errors="surrogateescape")
