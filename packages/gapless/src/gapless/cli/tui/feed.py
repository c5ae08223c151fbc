"""What the supervisor is asked for the screen, and how often.

A screen that is open costs the supervisor a bounded share of a processor: what an answer
has cost decides when the next question comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gapless.base import clock
from gapless.base.errors import GaplessError
from gapless.base.kernel.processor_time import spent_s
from gapless.client import Client

SHARE = 0.008
"""Of a processor, at most."""
LEAST_S, MOST_S = 1.0, 15.0
"""Between two looks at all apps."""
HELD_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at a host."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    supervisor: dict[str, Any] = field(default_factory=dict)
    described: dict[str, Any] | None = None
    """The app that is selected."""
    is_whole: bool = True
    """All rows are new; else only what is described."""
    trouble: str = ""
    """Why there is no answer; the rows are those of before, or those that are stored."""
    is_stale: bool = False
    """There was no answer at all: what is shown stays."""


def pause_s(spent_s: float) -> float:
    """Return how long to wait after an answer that has cost so much."""
    return min(max(spent_s / SHARE, LEAST_S), MOST_S)


def cost_s(before: float | None, after: float | None, took_s: float) -> float:
    """Return what an answer has cost a supervisor that had spent so much before and after.

    Where the kernel does not tell, the whole time counts as its work; of one that was not
    known before, nothing does.
    """
    if after is None:
        return took_s
    return 0.0 if before is None else max(0.0, after - before)


class Feed:
    """Looks at a host in a thread of its own, and delivers what it has seen."""

    def __init__(self, client: Client, deliver: Callable[[Seen], None]) -> None:
        self._client, self._deliver = client, deliver
        self._selected = ""
        self._wakes = threading.Condition()
        self._is_asked = self._is_over = False
        self._answered_at = clock.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def select(self, app: str) -> None:
        """Look at this app closely from now on."""
        with self._wakes:
            if app != self._selected:
                self._selected, self._is_asked = app, True
                self._wakes.notify()

    def hurry(self) -> None:
        """Look at the selected app soon: something has happened to it."""
        with self._wakes:
            self._is_asked = True
            self._wakes.notify()

    def stop(self) -> None:
        """End the thread; one that waits for an answer ends after it."""
        with self._wakes:
            self._is_over = True
            self._wakes.notify()

    def _run(self) -> None:
        seen, next_s = Seen(), 0.0
        while not self._is_over:
            began = clock.monotonic()
            before = spent_s(_pid(seen))
            is_whole = began >= next_s or bool(seen.trouble)
            seen = self.look() if is_whole else self._closer(seen)
            ended = clock.monotonic()
            spent = cost_s(before, spent_s(_pid(seen)), ended - began)
            if seen.trouble:  # nobody has answered, so nobody has worked
                next_s = ended + LEAST_S
            elif is_whole:
                next_s = ended + pause_s(spent)
            else:
                next_s += spent / SHARE
            self._deliver(seen)
            with self._wakes:
                self._wakes.wait(HELD_S)  # a key that is held down selects many apps
                self._wakes.wait_for(
                    lambda: self._is_asked or self._is_over,
                    max(0.0, next_s - clock.monotonic()),
                )
                self._is_asked = False

    def look(self) -> Seen:
        """Return what is to be seen now."""
        listed = self._client.glance("list")
        if listed is None:
            return self._without_answer()
        self._answered_at = clock.monotonic()
        rows, supervisor = listed["apps"], listed["supervisor"] or {}
        seen = self._closer(Seen(rows=rows, supervisor=supervisor))
        return replace(seen, is_whole=True)

    def _closer(self, seen: Seen) -> Seen:
        """Return what was seen, with the app that is selected now."""
        names = [row["name"] for row in seen.rows]
        app = self._selected if self._selected in names else next(iter(names), "")
        if not app or seen.trouble:
            return seen
        return replace(
            seen, described=self._client.glance("describe", app=app), is_whole=False
        )

    def _without_answer(self) -> Seen:
        silent_s = clock.monotonic() - self._answered_at
        try:
            if self._client.is_running():
                return Seen(
                    trouble=f"the supervisor has not answered for {silent_s:.0f} s",
                    is_stale=True,
                )
            if self._client.left_serving():
                return Seen(
                    trouble="no supervisor runs; the apps serve on, and any command "
                    "that changes an app starts one",
                    is_stale=True,
                )
            stored = self._client.request("list")
            trouble = "no supervisor runs here, so no app does; press t to start one"
            return Seen(rows=stored["apps"], trouble=trouble)
        except (GaplessError, OSError) as error:
            return Seen(trouble=str(error), is_stale=True)


def _pid(seen: Seen) -> int:
    return int(seen.supervisor.get("pid") or 0)
