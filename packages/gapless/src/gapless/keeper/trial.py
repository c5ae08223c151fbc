"""Whether this version can go on with what a keeper of another version has.

Everything is read as a keeper that goes on reads it, and nothing is opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from gapless.base import codec
from gapless.keeper.children import CHILD, ENDED
from gapless.keeper.guardian.guardian import BEGUN
from gapless.keeper.guardian.scratch import LAYOUT
from gapless.keeper.holding.held import HELD, NOTE
from gapless.keeper.logs.settings import LogSettings
from gapless.keeper.logs.streams import FILE, STREAM, TROUBLE
from gapless.keeper.seccomp.notifications import Notification
from gapless.keeper.seccomp.waiting_calls import CALL


def why_not(encoded: bytes) -> str:
    """Return why it cannot go on with a table (`Reserve.everything`); empty if it can."""
    table = json.loads(encoded)
    for name, value in table.items():
        for prefix, read in _READERS.items():
            if name.startswith(prefix):
                try:
                    read(value)
                except (ValueError, LookupError, TypeError) as error:
                    return f"{name}: {error or repr(error)}"
    return ""


def _read_begun(value: str) -> None:
    layout = json.loads(value)["layout"]
    if layout != LAYOUT:
        raise ValueError(f"its memory has the layout {layout}, not {LAYOUT}")


def _read_child(value: str) -> None:
    child = json.loads(value)
    for name in ("meta", "started", "pipes", "runs"):
        child[name]


def _read_stream(value: str) -> None:
    stream = json.loads(value)
    codec.decode(LogSettings, stream["log"], "log")
    int(stream["place"])
    if stream["stream"] not in ("output", "error"):
        raise ValueError(f"there is no stream {stream['stream']}")


_READERS: dict[str, Callable[[str], object]] = {
    BEGUN: _read_begun,
    HELD: lambda value: json.loads(value).get("meta"),
    NOTE: lambda value: json.loads(value)["value"],
    CHILD: _read_child,
    ENDED: json.loads,
    STREAM: _read_stream,
    FILE: lambda value: int(json.loads(value)["place"]),
    TROUBLE: lambda value: int(json.loads(value)["lines_lost"]),
    CALL: lambda value: codec.decode(Notification, json.loads(value), "call"),
}
"""By how a name begins."""
