"""How a line of a log is written.  Pure: the time is an argument."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from gapless.base import clock

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How the lines of one stream of one instance are written."""

    app: str
    generation: int
    ordinal: int
    stream: str
    """out or err."""
    format: str = "text"
    """text, plain, json, or pm2-json: with the keys that PM2 gives them."""
    date_format: str = ""
    """strftime(3), %L for milliseconds, %:z for +hh:mm."""
    id: int = 0
    """The id of the instance, unlike that of any other app's (PM2's `pm_id`)."""

    def render(self, lines: bytes, now_wall: float) -> bytes:
        """Return the lines in the format of the log, all with the same time.

        A date format that the C library refuses costs the dates, and no line.
        """
        try:
            return self._render(lines, now_wall)
        except (ValueError, OverflowError):
            return lines

    def _render(self, lines: bytes, now_wall: float) -> bytes:
        match self.format:
            case "json":
                head = f'{{"time":"{clock.stamp(now_wall)}",{self._fields()},"message":'
                return _objects(lines, head, "}")
            case "pm2-json":
                stamp = date(self.date_format or "%Y-%m-%dT%H:%M:%S.%L%:z", now_wall)
                tail = f',"timestamp":{_encode(stamp)},"type":"{self.stream}"'
                tail += f',"process_id":{self.id},"app_name":{_encode(self.app)}}}'
                return _objects(lines, '{"message":', tail)
            case "plain" if not self.date_format:
                return lines
            case _:
                return self._prefixed(lines, now_wall)

    def prefix(self, now_wall: float) -> bytes | None:
        """Return what a line begins with; None if it is written only as a whole."""
        if self.format in ("json", "pm2-json"):
            return None
        return self.render(b"\n", now_wall)[:-1]

    def _prefixed(self, lines: bytes, now_wall: float) -> bytes:
        if self.date_format:
            stamp = f"{date(self.date_format, now_wall)}: "
            prefix = stamp.encode(errors="surrogateescape")
        else:
            source = f"{self.generation}.{self.ordinal} {self.stream}"
            prefix = f"{clock.stamp(now_wall)} {source} | ".encode()
        prefixed = memoryview(lines.replace(b"\n", b"\n" + prefix))
        return b"".join((prefix, prefixed[: -len(prefix)]))  # the fewest copies

    def _fields(self) -> str:
        fields = {
            "app": self.app,
            "generation": self.generation,
            "ordinal": self.ordinal,
            "stream": self.stream,
        }
        return _encode(fields)[1:-1]


def date(pattern: str, now_wall: float) -> str:
    """Return a time in a pattern of strftime(3), %L and %:z."""
    local = time.localtime(now_wall)
    if "%L" in pattern:
        pattern = pattern.replace("%L", f"{int(now_wall * 1000) % 1000:03d}")
    if "%:z" in pattern:
        offset = time.strftime("%z", local)
        pattern = pattern.replace("%:z", f"{offset[:3]}:{offset[3:]}")
    return time.strftime(pattern, local)


def _objects(lines: bytes, head: str, tail: str) -> bytes:
    """Return a JSON object for each line: *head*, the text, *tail*."""
    texts = lines[:-1].decode(errors="replace").split("\n")
    return "".join([f"{head}{_encode(text)}{tail}\n" for text in texts]).encode(
        errors="surrogateescape"
    )
