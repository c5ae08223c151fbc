"""What happens in a chaos, and in which order: a list of values, drawn by a seed.  Pure.

A step is a change that a user asks for, and a fault that strikes meanwhile.  The same seed
draws the same steps, however many of them are played.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

Each = TypeVar("Each")
APPS = ("node", "uvicorn", "gunicorn", "nginx")
MOST_LINES = 5
"""A command prints about so many lines before it ends."""
MOST_ANSWERS = 8
MOST_INSTANCES = 3
LONGEST_STEP_S = 12 * 3600
"""How far the clock goes, either way."""


class Change(StrEnum):
    """What a user asks for."""

    NOTHING = "nothing"
    RELOAD = "reload"
    EXITS = "a release that exits"
    SILENT = "a release that never gets ready"
    SCALE = "scale"
    UPGRADE = "upgrade"


class Fault(StrEnum):
    """What strikes."""

    NOTHING = "nothing"
    KEEPER_DIES = "the keeper is killed"
    GUARDIAN_DIES = "the guardian is killed"
    SUPERVISOR_DIES = "the supervisor is killed"
    BOTH_DIE = "supervisor and keeper are killed"
    LINE_DIES = "keeper and guardian are killed"
    ALL_DIE = "supervisor, keeper and guardian are killed"
    RELAY_DIES = "the relay is killed"
    KEEPER_STOPS = "the keeper is paused"
    GUARDIAN_STOPS = "the guardian is paused"
    SUPERVISOR_STOPS = "the supervisor is paused"
    RELAY_STOPS = "the relay is paused"
    DISK_FULL = "the disk is full"
    CLOCK_STEPS = "the clock steps"


COSTS_INTERCEPTION = (Fault.LINE_DIES, Fault.ALL_DIE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change, and one fault."""

    change: Change = Change.NOTHING
    app: str = APPS[0]
    """Whose change it is."""
    instances: int = 1
    """To how many the app is scaled."""
    fault: Fault = Fault.NOTHING
    after_lines: int = 0
    """After how many lines of the command the fault strikes."""
    answers: int = 3
    """How many answers each app gives while the fault lasts."""
    clock_s: int = 0
    """By how much the clock is off from then on."""

    def __str__(self) -> str:
        what = f"{self.change} of {self.app}"
        if self.change is Change.SCALE:
            what += f" to {self.instances}"
        if self.change in (Change.NOTHING, Change.UPGRADE):
            what = str(self.change)
        return f"{what}; after {self.after_lines} lines {self.fault}"


WARM_UP = (
    Step(change=Change.RELOAD, app="node", fault=Fault.SUPERVISOR_DIES, after_lines=2),
    Step(fault=Fault.KEEPER_DIES),
)
"""What happens before the first look: each process is not the first of its kind any more.
"""


def draw(seed: int) -> Iterator[Step]:
    """Yield steps without end.

    Each round has every fault once, and most changes; which app and which of them meet is
    drawn.  What `COSTS_INTERCEPTION` strikes at rest, and a release of each app
    follows, as docs/faults.md asks for.
    """
    chance = random.Random(seed)
    while True:
        changes = _shuffled(chance, list(Change))
        faults = _shuffled(chance, list(Fault))
        for change, fault in zip(itertools.cycle(changes), faults, strict=False):
            if fault in COSTS_INTERCEPTION:
                yield Step(fault=fault)
                yield from (Step(change=Change.RELOAD, app=app) for app in APPS)
                continue
            yield Step(
                change=change,
                app=chance.choice(APPS),
                instances=chance.randint(1, MOST_INSTANCES),
                fault=fault,
                after_lines=chance.randint(0, MOST_LINES),
                answers=chance.randint(1, MOST_ANSWERS),
                clock_s=chance.randint(-LONGEST_STEP_S, LONGEST_STEP_S),
            )


def _shuffled(chance: random.Random, values: list[Each]) -> list[Each]:
    chance.shuffle(values)
    return values
