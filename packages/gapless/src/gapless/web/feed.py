"""The one poller of all browsers: it looks while they do, and tells each what changed.

A page that is open costs the supervisor a bounded share of a processor: what an answer has
cost decides when the next question comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gapless.base import clock
from gapless.web import board
from gapless.web.deeds import Deeds
from gapless.web.host_look import MOST_LINES, HostLook, LogTail
from gapless.web.timeline import timeline

SHARE = 0.004
"""Of a processor, at most, for the table; as much again for the apps that are open."""
LIST_S, APP_S, MOST_S = 1.0, 0.5, 30.0
"""The least and the longest time between two looks at all apps, or at an app."""
SOON_S = 0.1
MOST_OPEN = 8
"""Apps that browsers have open at the same time; further ones wait."""
MOST_LOGS = 16


def pause_s(cost_s: float, least_s: float) -> float:
    """Return how long to wait after an answer that has cost so much."""
    return min(max(cost_s / SHARE, least_s), MOST_S)


@dataclass(slots=True)
class OpenApp:
    """What is known of an app that a browser has open."""

    number: int = 0
    """Of the last change."""
    found: dict[str, Any] = field(default_factory=dict)
    lines: deque[tuple[int, str]] = field(
        default_factory=lambda: deque(maxlen=MOST_LINES)
    )
    last_line: int = 0
    tails: dict[str, LogTail] = field(default_factory=dict)

    def update(self, found: dict[str, Any]) -> bool:
        """Take what was found; return whether it is new."""
        if found == self.found:
            return False
        self.found, self.number = found, self.number + 1
        return True

    def add_lines(self, lines: list[str]) -> bool:
        """Take new lines of its logs; return whether there are any."""
        for line in lines:
            self.last_line += 1
            self.lines.append((self.last_line, line))
        return bool(lines)


@dataclass(slots=True, eq=False)
class Watcher:
    """One browser: which app it has open, and what it has been sent."""

    app: str
    wakes: asyncio.Event = field(default_factory=asyncio.Event)
    rows: int = -1
    state: dict[str, Any] = field(default_factory=dict)
    details: int = 0
    line: int = 0
    deed: int = 0


class Feed:
    """Looks at a host, and keeps what was seen for the browsers."""

    def __init__(self, look: HostLook, deeds: Deeds) -> None:
        self._look, self._deeds = look, deeds
        self.board = board.Board()
        self.state: dict[str, Any] = {}
        """Empty before the first look."""
        self.looks = 0
        """How often the supervisor was asked."""
        self._watchers: set[Watcher] = set()
        self._open: dict[str, OpenApp] = {}
        self._asked = asyncio.Event()
        self._list_at = self._apps_at = 0.0

    @property
    def watchers(self) -> int:
        """How many browsers look."""
        return len(self._watchers)

    @asynccontextmanager
    async def watched(self, app: str) -> AsyncIterator[Watcher]:
        """Look for one more browser, as long as it stays."""
        watcher = Watcher(app)
        self._watchers.add(watcher)
        if app and app not in self._open:
            self._hurry_open()
        self._asked.set()
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def hurry(self) -> None:
        """Look soon: something has happened."""
        self._hurry_open()
        self._list_at = min(self._list_at, clock.monotonic() + LIST_S)
        self._asked.set()

    def _hurry_open(self) -> None:
        self._apps_at = min(self._apps_at, clock.monotonic() + SOON_S)

    def wake_all(self) -> None:
        """Let every browser be sent what is new."""
        for each in self._watchers:
            each.wakes.set()

    # --- what a browser is sent ---------------------------------------------------------

    def news(self, watcher: Watcher) -> list[tuple[str, Any]]:
        """Return the events that a browser has not been sent yet, and note them as sent."""
        watcher.wakes.clear()
        found: list[tuple[str, Any]] = []
        if not self.state:
            return found
        if watcher.state != self.state:
            watcher.state = dict(self.state)
            found.append(("state", watcher.state))
        if (rows := self.board.since(watcher.rows)) is not None:
            found.append(("apps", rows))
        watcher.rows = self.board.number
        if deeds := self._deeds.since(watcher.deed):
            found.append(("deeds", deeds))
        watcher.deed = self._deeds.number
        app = self._open.get(watcher.app)
        if app is not None and app.number > watcher.details:
            watcher.details = app.number
            found.append(("app", app.found))
        if app is not None and app.last_line > watcher.line:
            lines = [text for number, text in app.lines if number > watcher.line]
            watcher.line = app.last_line
            found.append(("log", lines))
        return found

    # --- looking ------------------------------------------------------------------------

    async def run(self) -> None:
        """Look for ever; nothing is asked while no browser is there."""
        while True:
            if not self._watchers:
                self._open.clear()
                self._asked.clear()
                await self._asked.wait()
                continue
            now = clock.monotonic()
            if now >= self._list_at:
                await self._look_at_all()
            if now >= self._apps_at:
                await self._look_at_open()
            self._asked.clear()
            wait_s = min(self._list_at, self._apps_at) - clock.monotonic()
            try:
                await asyncio.wait_for(self._asked.wait(), max(0.05, wait_s))
            except TimeoutError:
                continue

    async def _look_at_all(self) -> None:
        self.looks += 1
        found = await asyncio.to_thread(self._look.apps)
        self._list_at = clock.monotonic() + pause_s(found.cost_s, LIST_S)
        state = {
            "trouble": found.trouble,
            "draining": bool(found.supervisor.get("draining")),
        }
        is_new = state != self.state
        self.state = state
        before = {name: row["status"] for name, row in self.board.rows.items()}
        if found.rows is not None and self.board.update(found.rows):
            is_new = True
            rows = self.board.rows
            if any(rows[n]["status"] != before.get(n) for n in self._open if n in rows):
                self._hurry_open()
        if is_new:
            self.wake_all()

    async def _look_at_open(self) -> None:
        wanted = {each.app for each in self._watchers if each.app in self.board.rows}
        for name in [name for name in self._open if name not in wanted]:
            del self._open[name]
            # An app of this name may be added again: its numbers begin anew then.
            for each in self._watchers:
                if each.app == name:
                    each.details = each.line = 0
        cost_s = 0.0
        for name in sorted(wanted)[:MOST_OPEN]:
            app = self._open.setdefault(name, OpenApp())
            self.looks += 1
            described, spent_s = await asyncio.to_thread(self._look.app, name)
            cost_s += spent_s
            if described is not None:
                lines = await asyncio.to_thread(_new_lines, app, described)
                changes = (
                    app.update(details_of(described)),
                    app.add_lines(lines),
                    self.board.update_one(described),
                )
                if any(changes):
                    self.wake_all()
        self._apps_at = clock.monotonic() + pause_s(cost_s, APP_S)


def details_of(described: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of an app that is open."""
    operation = described.get("operation")
    picture = None
    if operation:
        picture = timeline(operation, float(operation.get("for_s") or 0.0))
        picture |= {"action": board.shown(str(operation.get("action")))}
        picture |= {"generation": board.shown(operation.get("generation"))}
    last = described.get("last_report") or {}
    return {
        "name": described["name"],
        "instances": [
            board.instance_of(each) for each in described.get("instances_detail", ())
        ],
        "generations": board.shown(
            [
                {key: each.get(key) for key in ("generation", "role", "release")}
                for each in described.get("generations", ())
            ]
        ),
        "operation": picture,
        "last": board.shown(
            {
                key: last.get(key)
                for key in ("action", "outcome", "started_at", "reason")
            }
        ),
        "hint": board.shown(described.get("hint")),
    }


def _new_lines(app: OpenApp, described: dict[str, Any]) -> list[str]:
    """Return what was added to the logs of an app."""
    paths = [str(path) for path in described.get("logs", ())][:MOST_LOGS]
    app.tails = {path: app.tails.get(path) or LogTail(path) for path in paths}
    found: list[str] = []
    for tail in app.tails.values():
        found += tail.lines()
    return found
