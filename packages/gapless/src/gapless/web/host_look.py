"""What the supervisor is asked for the page, what that cost it, and what logs have."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from gapless.base import clock
from gapless.base.errors import GaplessError
from gapless.base.kernel.processor_time import spent_s
from gapless.base.outside import files as outside_files
from gapless.base.outside import secrets
from gapless.client import Client
from gapless.web.board import shown

TAIL_BYTES = 64 << 10
"""Of a log, at most, in one look: more is left out, and said."""
MOST_LINES = 200
LEFT_OUT = "... lines were left out: `gapless logs` has them"
MOST_LINE_CHARACTERS = 2000
_COLOUR = re.compile(rb"\x1b\[[0-9;:]{0,64}m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One look at all apps."""

    rows: list[dict[str, Any]] | None = None
    """None: there was no answer, and what is shown stays."""
    supervisor: dict[str, Any] = field(default_factory=dict)
    trouble: str = ""
    """Why the rows are not those of a supervisor that runs."""
    cost_s: float = 0.0
    """The processor time of the supervisor."""


class HostLook:
    """Asks one supervisor, and waits for the answer; starts none."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pid = 0
        self._answered_at = clock.monotonic()

    def apps(self) -> Listed:
        """Return all apps."""
        began = clock.monotonic()
        before_s = spent_s(self._pid)
        found = self._client.glance("list")
        if found is None:
            return self._without_answer()
        self._answered_at = clock.monotonic()
        supervisor = found.get("supervisor") or {}
        pid = int(supervisor.get("pid") or 0)
        # What the first answer of a supervisor has cost is not known.
        cost_s = self._cost_s(began, before_s) if pid == self._pid else 0.0
        self._pid = pid
        rows = secrets.shown(found.get("apps") or [])
        return Listed(rows=rows, supervisor=supervisor, cost_s=cost_s)

    def app(self, name: str) -> tuple[dict[str, Any] | None, float]:
        """Return one app, None if there is none, and what that has cost."""
        began, before_s = clock.monotonic(), spent_s(self._pid)
        found = self._client.glance("describe", app=name)
        described = None if found is None else secrets.shown(found)
        return described, self._cost_s(began, before_s)

    def _cost_s(self, began: float, before_s: float | None) -> float:
        after_s = spent_s(self._pid)
        if before_s is None or after_s is None or after_s < before_s:
            return (
                clock.monotonic() - began
            )  # the kernel does not tell: all of it counts
        return after_s - before_s

    def _without_answer(self) -> Listed:
        silent_s = clock.monotonic() - self._answered_at
        try:
            if self._client.is_running():
                return Listed(
                    trouble=f"the supervisor has not answered for {silent_s:.0f} s"
                )
            if self._client.left_serving():
                return Listed(
                    trouble="no supervisor runs; the apps serve on, and any command that "
                    "changes an app starts one"
                )
            rows = self._client.request("list")["apps"]
            trouble = (
                "no supervisor runs here, so no app does; `gapless start APP` starts"
            )
            return Listed(rows=secrets.shown(rows), trouble=trouble)
        except (GaplessError, OSError) as error:
            return Listed(trouble=str(error))


class LogTail:
    """What one log has, and what is added to it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._inode, self._place = 0, 0
        self._trouble = ""

    def lines(self) -> list[str]:
        """Return the lines that are new; the last ones of it the first time.

        No more than `MOST_LINES` of the last `TAIL_BYTES`: that more were left out is a
        line, too, and so is a file that followed before the one of before was read whole.
        """
        try:
            with open(outside_files.open_regular(self._path), "rb") as file:
                self._trouble = ""
                return self._read(file)
        except FileNotFoundError:
            return []
        except OSError as error:
            trouble = (error.strerror or str(error)).lower()
            is_told, self._trouble = trouble == self._trouble, trouble
            text = f"the log {self._path} cannot be read: {trouble}"
            return [] if is_told else [shown(text)]

    def _read(self, file: BinaryIO) -> list[str]:
        found = os.fstat(file.fileno())
        is_first = not self._inode
        is_same = found.st_ino == self._inode and found.st_size >= self._place
        is_lost = found.st_ino != self._inode and not self._was_read_whole()
        wanted = self._place if is_same else 0
        begin = max(wanted, found.st_size - TAIL_BYTES)
        content = os.pread(file.fileno(), TAIL_BYTES, begin)
        whole, newline, rest = content.rpartition(b"\n")
        if not newline and len(rest) == TAIL_BYTES:  # one line without an end
            whole, newline = rest, b"\n"
        self._inode = found.st_ino
        self._place = min(begin + len(whole) + len(newline), begin + len(content))
        lines = whole.split(b"\n") if newline else []
        is_cut = begin > wanted
        if is_cut:
            del lines[:1]  # it began before
        told = [line_of(line) for line in lines[-MOST_LINES:]]
        if not is_first and (is_cut or is_lost or len(lines) > MOST_LINES):
            return [LEFT_OUT, *told]
        return told

    def _was_read_whole(self) -> bool:
        """Return whether nothing was added to the file before, until it was moved aside."""
        try:
            moved = os.stat(f"{self._path}.1", follow_symlinks=False)
        except OSError:
            return False  # removed, or moved elsewhere: nobody knows
        return moved.st_ino == self._inode and moved.st_size <= self._place


def line_of(line: bytes) -> str:
    """Return a line of a log as text without colours; all else in it can be seen."""
    text = _COLOUR.sub(b"", line.removesuffix(b"\r")).decode(errors="surrogateescape")
    found: str = shown(text[:MOST_LINE_CHARACTERS].replace("\t", "    "))
    return found
