"""What a picture knows of each piece of work: an app, a host, an upload.  Pure.

A step that comes, and what the supervisor shows between two steps, make a new line of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

LONGEST_WORDS = 200
"""A reason may be as long as a page; what is cut off here stands in the report."""
_PHASES = {
    "waiting": "waits",
    "starting": "starts",
    "recycling": "recycles",
    "permit": "asks",
    "switched": "proves itself",
    "draining": "drains",
    "stopping": "stops",
    "building": "builds",
    "renewing": "begins",
}
"""What goes on since a step, where its own word does not say it."""
_BAD = ("failed", "reverted", "crashed", "superseded")
_OPEN = ("switched", "proven", "draining", "stopping", "recycling")
"""After these steps connections move."""
_HOST_MOODS = {"failed": "bad", "done": "done"}
_RESTING = ("idle", "stopped", "waiting")
_GENERATION = "generation "


class Mood(Enum):
    """How a line stands out."""

    WAITING = "waiting"
    ACTIVE = "active"
    DONE = "done"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One piece of work."""

    name: str
    mood: Mood = Mood.WAITING
    phase: str = "waits"
    step: str = ""
    old: str = ""
    new: str = ""
    """Its generation or release, before and after."""
    moved: int | None = None
    """Connections of the new generation."""
    left: int | None = None
    """Connections of those before, which are waited for."""
    words: str = ""
    """What it waits for, or why it failed."""
    began_s: float = 0.0
    ended_s: float | None = None

    @property
    def is_worth_a_look(self) -> bool:
        """Return whether a look shows something new: connections, or who is handed over."""
        is_first = bool(self.new and not self.old)
        return self.ended_s is None and (self.step in _OPEN or is_first)


def after_step(line: Line, event: Mapping[str, Any]) -> Line:
    """Return a line after a step, as the supervisor or a publisher tells it."""
    step, detail = str(event["step"]), str(event["detail"])
    generation = event.get("generation")
    old = line.old
    if step in ("draining", "closed") and detail.startswith(_GENERATION) and not old:
        old = detail.removeprefix(_GENERATION)
    return replace(
        line,
        mood=Mood.BAD if step in _BAD else Mood.ACTIVE,
        phase=_PHASES.get(step, step),
        step=step,
        old=old,
        new=line.new if generation is None else str(generation),
        words="" if step in ("draining", "closed") else detail[:LONGEST_WORDS],
    )


def after_look(line: Line, described: Mapping[str, Any], under_way: str) -> Line:
    """Return a line after a look at its app; *under_way* names what it is waited for."""
    if line.ended_s is not None or not line.new:
        return line
    counts: dict[bool, int | None] = {True: None, False: None}
    for each in described["instances_detail"]:
        is_new = str(each["generation"]) == line.new
        if each["connections"] is not None:
            counts[is_new] = (counts[is_new] or 0) + each["connections"]
    older = [
        str(each["generation"])
        for each in described["generations"]
        if str(each["generation"]) != line.new
    ]
    drains = line.step in ("draining", "recycling")
    return replace(
        line,
        old=line.old or ", ".join(older[-1:]),
        moved=counts[True],
        left=counts[False],
        words=under_way[:LONGEST_WORDS] if drains and under_way else line.words,
    )


def ended(line: Line, outcome: str, words: str, now: float) -> Line:
    """Return a line when its work has ended: *outcome* is done, failed or another word."""
    mood = Mood.DONE if outcome == "done" else Mood.BAD
    words = "" if mood is Mood.DONE else words[:LONGEST_WORDS]
    return replace(line, mood=mood, phase=outcome, words=words, ended_s=now, left=None)


def of_host(line: Line, *, phase: str, release: str, reason: str, now: float) -> Line:
    """Return the line of a host, which reports a phase and the release that it runs."""
    mood = Mood(_HOST_MOODS.get(phase, "waiting" if phase in _RESTING else "active"))
    is_over = mood in (Mood.DONE, Mood.BAD)
    return replace(
        line,
        mood=mood,
        phase=phase,
        new=release,
        words=reason[:LONGEST_WORDS],
        ended_s=(line.ended_s or now) if is_over else None,
    )


def chosen(lines: list[Line], room: int) -> tuple[list[Line], str]:
    """Return the lines for which there is room, in their order, and a word for the rest.

    What is bad stands first in the choice, then what is active; what waits or is done can
    be counted.
    """
    if len(lines) <= room:
        return lines, ""
    ranks = {Mood.BAD: 0, Mood.ACTIVE: 1, Mood.WAITING: 2, Mood.DONE: 3}
    order = sorted(range(len(lines)), key=lambda index: ranks[lines[index].mood])
    kept = sorted(order[: max(0, room - 1)])
    counts = dict.fromkeys(Mood, 0)
    for index in order[max(0, room - 1) :]:
        counts[lines[index].mood] += 1
    words = [f"{count} {mood.value}" for mood, count in counts.items() if count]
    return [lines[index] for index in kept], f"and {', '.join(words)}"
