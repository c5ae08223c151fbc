"""A picture of long work: drawn some times a second, until the work has ended.

Two threads: one draws, one asks the supervisor between two steps.  So a supervisor that
does not answer does not keep the seconds from going on.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self, TextIO

from gapless.base import clock
from gapless.cli import output
from gapless.cli.display import steps, under_way
from gapless.cli.progress import model
from gapless.cli.progress.above import Above
from gapless.cli.progress.canvas import Canvas, Row
from gapless.cli.progress.model import Line

if TYPE_CHECKING:
    from gapless.rollout.model import HostReport

FIRST_S = 0.2
"""What ends sooner is not drawn."""
DRAW_S = 0.2
LOOK_S = 1.0
MOST_LOOKS = 4
"""So many apps are looked at in a second, one after the other."""
Look = Callable[[str], dict[str, Any] | None]
"""Returns the description of an app; None if it is not to be had now."""
_STAYING = ("unseen", "unordered", "unlimited", "trying on")
"""Steps that are told in full above the picture, beside the bad ones."""


class Picture:
    """Draws the lines of some work on a terminal, as a context."""

    def __init__(
        self, names: Iterable[str], stream: TextIO, look: Look | None = None
    ) -> None:
        now = clock.monotonic()
        self._lines = {name: Line(name=name, began_s=now) for name in names}
        self._canvas, self._look = Canvas(stream), look
        self._stream = stream
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._streams = (sys.stdout, sys.stderr)
        self._is_drawn = False

    # --- what is told -----------------------------------------------------------------

    def step(self, event: dict[str, Any]) -> None:
        """Take a step of an app."""
        name = str(event["app"])
        with self._lock:
            line = self._lines.get(name) or self._new(name)
            self._lines[name] = after = model.after_step(line, event)
        if after.mood is model.Mood.BAD or event["step"] in _STAYING:
            steps.print_step(event)

    def host(self, report: HostReport) -> None:
        """Take what a host of a fleet reports."""
        with self._lock:
            line = self._lines.get(report.host) or self._new(report.host)
            self._lines[report.host] = model.of_host(
                line,
                phase=report.phase.value,
                release=report.release,
                reason=report.reason,
                now=clock.monotonic(),
            )

    def end(self, name: str, outcome: str, words: str = "") -> None:
        """Take the end of an app's work."""
        with self._lock:
            line = self._lines.get(name) or self._new(name)
            self._lines[name] = model.ended(line, outcome, words, clock.monotonic())

    def _new(self, name: str) -> Line:
        return Line(name=name, began_s=clock.monotonic())

    # --- the context ------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._streams = (sys.stdout, sys.stderr)
        for name, stream in zip(("stdout", "stderr"), self._streams, strict=True):
            if stream.isatty():
                setattr(sys, name, Above(stream, self.above))
        works = [self._draw_on] + [self._look_on] * (self._look is not None)
        self._threads = [threading.Thread(target=each, daemon=True) for each in works]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End it: remove the picture, but leave it to who interrupted the command."""
        self._over.set()
        self._threads[0].join()  # the other one may wait for an answer
        own = (sys.stdout, sys.stderr)
        sys.stdout, sys.stderr = self._streams
        # A terminal that was closed changes nothing of what was done.
        with self._lock, contextlib.suppress(OSError, ValueError):
            for stream in own:
                if isinstance(stream, Above):
                    stream.flush_rest()
            if kind is not None and issubclass(kind, KeyboardInterrupt):
                self._canvas.leave()
            else:
                self._canvas.erase()

    def above(self, write: Callable[[], None]) -> None:
        """Let somebody write above the picture."""
        with self._lock:
            self._canvas.erase()
            write()
            if self._is_drawn and not self._over.is_set():
                self._draw()

    # --- the threads ------------------------------------------------------------------

    def _draw_on(self) -> None:
        pause_s = FIRST_S
        while not self._over.wait(pause_s):
            pause_s = DRAW_S
            try:
                with self._lock:
                    self._draw()
            except (OSError, ValueError):
                return  # the terminal is gone; the work goes on

    def _draw(self) -> None:
        self._is_drawn = True
        size = self._canvas.size()
        # One line is for the cursor, one for what is above.
        self._canvas.draw(self._rows(size.columns, max(1, size.lines - 2)))

    def _rows(self, columns: int, room: int) -> list[Row]:
        from gapless.cli.progress import drawing  # noqa: PLC0415 - rich, which few need

        lines, rest = model.chosen([*self._lines.values()], room)
        return drawing.rows(
            lines,
            rest,
            now=clock.monotonic(),
            columns=columns,
            in_colour=output.is_terminal(),
        )

    def _look_on(self) -> None:
        assert self._look is not None
        turn, pause_s = 0, FIRST_S
        while not self._over.wait(pause_s):
            pause_s = LOOK_S
            with self._lock:
                open_ones = [n for n, e in self._lines.items() if e.is_worth_a_look]
            chosen = [
                open_ones[(turn + each) % len(open_ones)]
                for each in range(min(MOST_LOOKS, len(open_ones)))
            ]
            turn += len(chosen)
            for name in chosen:
                described = self._look(name)
                if described is None or self._over.is_set():
                    continue
                with self._lock:
                    self._lines[name] = model.after_look(
                        self._lines[name], described, under_way.sentence(described)
                    )
