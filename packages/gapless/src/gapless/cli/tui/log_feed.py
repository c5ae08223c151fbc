"""The logs of one app for the screen: what comes, as much of it as can be read.

A program may print more than anybody reads: the newest lines of each turn are delivered,
the others are counted.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Sequence

from gapless.cli import output
from gapless.cli.followed_log import FollowedLog

TURN_S = 0.25
LINES = 100
"""Of a turn, at most."""
FIRST_LINES = 100
LONGEST_LINE = 2000
Deliver = Callable[[str, Sequence[str], str], None]
"""Takes the app, its new lines with their colours, and what was left out so far."""


class _Gathered(io.BytesIO):
    """Collects what a log would print on a terminal."""

    def isatty(self) -> bool:
        """Return that control characters are to be escaped."""
        return True

    def take(self) -> bytes:
        """Return what was gathered since the last call."""
        found = self.getvalue()
        self.seek(0)
        self.truncate()
        return found


class _Source:
    """One file."""

    def __init__(self, path: str) -> None:
        self._gathered, self._rest = _Gathered(), b""
        self._unread_bytes = self._lines = 0
        self._log = FollowedLog(path, self._gathered)
        self._log.print_last(FIRST_LINES)

    def lines(self) -> tuple[list[str], str]:
        """Return the lines that are complete now, and what was left out so far."""
        self._unread_bytes += self._log.catch_up()
        self._log.print_new()
        *lines, self._rest = (self._rest + self._gathered.take()).split(b"\n")
        self._rest = self._rest[-LONGEST_LINE:]
        newest = lines[-LINES:]
        shown = [line[:LONGEST_LINE].decode(errors="replace") for line in newest]
        self._lines += len(lines) - len(newest)
        left_out = [output.count(self._lines, "line")] * (self._lines > 0)
        if self._unread_bytes:
            left_out.append(f"{output.size(self._unread_bytes)} that were not read")
        return shown, " and ".join(left_out)

    def close(self) -> None:
        """Close the file."""
        self._log.close()


class LogFeed:
    """Reads the logs of the app that was chosen last, in a thread of its own."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._over = threading.Event()
        self._chosen: tuple[str, tuple[str, ...]] = ("", ())
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def choose(self, app: str, paths: Iterable[str]) -> None:
        """Read these files from now on."""
        self._chosen = (app, tuple(paths))

    def stop(self) -> None:
        """End the thread, which closes its files."""
        self._over.set()

    def _run(self) -> None:
        current: tuple[str, tuple[str, ...]] = ("", ())
        sources: list[_Source] = []
        while not self._over.wait(TURN_S):
            if self._chosen != current:
                _close(sources)
                current = self._chosen
                sources = _opened(current[1])
            for source in sources:
                try:
                    lines, left_out = source.lines()
                except OSError:
                    continue  # it is tried again
                if lines:
                    self._deliver(current[0], lines, left_out)
        _close(sources)


def _opened(paths: Iterable[str]) -> list[_Source]:
    found = []
    for path in paths:
        try:
            found.append(_Source(path))
        except OSError:
            continue  # it may not be read
    return found


def _close(sources: Iterable[_Source]) -> None:
    for source in sources:
        source.close()
