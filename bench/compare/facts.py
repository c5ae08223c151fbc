"""What was measured of a tool, and how a load's ledger says it.  Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from rig.load.fates import ANSWERED

FEW = 100
"""A 99th percentile of fewer requests says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """How many requests were sent, and how many of each kind of client were lost."""

    requests: int
    kinds: dict[str, int]

    @property
    def total(self) -> int:
        """How many were lost."""
        return sum(self.kinds.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release, in seconds since its command was given."""

    first_new_s: float | None
    """After that each answer on a new connection was of the new version; None: none was."""
    all_new_s: float | None
    """After that each answer was of the new version; None: none ever was."""
    gone_s: float | None
    """After that no process of the old version lived; None: one still did."""
    command_s: float | None
    """The command took so long; None: it is a signal, which nobody waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured of a tool."""

    tool: str
    bare_s: float
    """The program with nothing above it answers so many seconds after its start."""
    lost: Lost
    releases: tuple[Release, ...]
    p99_ratio: float | None
    """The 99th percentile while a release was under way, by that of the rest of the run."""
    broken_lost: Lost
    broken_code: int | None
    """The exit code of the command that released what cannot start; None: a signal."""
    broken_serves: bool
    killed_lost: Lost
    killed_serves: bool
    killed_released: bool
    """The next command of a release brought the new version, with its manager killed."""
    memory_mb: float
    cpu_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time of a release, as the clock of the load has it."""

    version: str
    asked: float
    ended: float
    """All of it was over: the command, and the old processes."""


def requests(ledger: Iterable[str]) -> list[dict[str, Any]]:
    """Return the requests of a load's ledger."""
    return [json.loads(line) for line in ledger]


def lost(sent: list[dict[str, Any]], kinds: Iterable[str]) -> Lost:
    """Return what was lost of each kind of client."""
    return Lost(
        requests=len(sent),
        kinds={
            kind: sum(
                each["kind"] == kind and each["fate"] != ANSWERED for each in sent
            )
            for kind in kinds
        },
    )


def all_new_s(
    sent: list[dict[str, Any]], window: Window, before: float, kinds: Collection[str]
) -> float | None:
    """Return how long requests of an older version were still begun, by some clients.

    *before* is when the next release was asked for, or the load ended.
    """
    own = [
        each
        for each in sent
        if each["fate"] == ANSWERED
        and each["kind"] in kinds
        and each["began"] >= window.asked
    ]
    # A client may hang for so long that a later version is the first that it gets.
    if not any(int(each["version"]) >= int(window.version) for each in own):
        return None
    old = [
        each["began"]
        for each in own
        if each["began"] < before and int(each["version"]) < int(window.version)
    ]
    return max(old, default=window.asked) - window.asked


def p99_ratio(sent: list[dict[str, Any]], windows: list[Window]) -> float | None:
    """Return the 99th percentile within the windows by that of the rest of the run."""
    within: list[float] = []
    at_rest: list[float] = []
    for each in sent:
        if each["fate"] != ANSWERED:
            continue
        took_s = each["ended"] - each["began"]
        inside = any(
            each["began"] <= window.ended and each["ended"] >= window.asked
            for window in windows
        )
        (within if inside else at_rest).append(took_s)
    if min(len(within), len(at_rest)) < FEW:
        return None
    return _p99(within) / max(_p99(at_rest), 1e-6)


def median(values: Iterable[float | None]) -> float | None:
    """Return the median; what never came is longer than all."""
    order = sorted(values, key=lambda value: (value is None, value or 0.0))
    return order[len(order) // 2]


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
