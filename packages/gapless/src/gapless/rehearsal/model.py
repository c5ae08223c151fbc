"""What is rehearsed, and what is found, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gapless.rehearsal.results import Loss, Result
from gapless.releases.model import ReleaseSpec
from gapless.supervisor.memory.spec import AppSpec

ON_HOST, PRIVATE, AUTO = "host", "private", "auto"
"""Networks: that of this machine, one without it, and the first that works."""
COPY, EMPTY = "copy", "empty"
"""What stands for shared directories."""
PASSED, LOST, FAILED = "passed", "lost", "failed"
TO_CANDIDATE, BACK = "to the candidate", "back"
AT_REST, OVER, CANDIDATE, WAY_BACK, AFTER = (
    "at rest",
    "handing over",
    "the candidate at rest",
    "handing back",
    "at rest again",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How it is rehearsed, from the command line."""

    paths: tuple[str, ...] = ()
    """What is asked for; empty: the path of the app's readiness, else `/`."""
    post: str | None = None
    """Where the slow POST goes; empty: nowhere, None: the first path."""
    headers: tuple[tuple[str, str], ...] = ()
    rate: float = 100.0
    duration_s: float = 3.0
    """How long each state at rest is measured."""
    network: str = AUTO
    writable: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    """Variables of the environment that are set anew, for the rehearsal only."""
    port: int = 0
    """Which of its ports is asked, as the app calls it; 0: the first."""
    compares: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The current release, or the candidate."""

    spec: AppSpec
    """As it is really configured."""
    tree: str
    """The directory that is copied."""
    release: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is rehearsed."""

    app: str
    target: str
    """As the user named it."""
    current: Side
    candidate: Side
    paths: dict[str, str] = field(default_factory=dict)
    """Directories that lie elsewhere in the rehearsal: those that are shared."""
    addresses: tuple[str, ...] = ()
    """Where the app listens, if it runs here."""
    releases: ReleaseSpec | None = None
    keeps_at: str = ""
    """The file of the report."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffResult:
    """One of the two handoffs."""

    direction: str
    outcome: str
    """done or failed, as the supervisor says."""
    reason: str
    hint: str
    start_s: float | None
    """From its start until it was ready."""
    switched_s: float | None
    took_s: float
    connections: dict[str, int] | None
    cut: tuple[dict[str, Any], ...]
    counts_requests: bool
    """The app has the drain library, or counts by itself."""
    not_taken_over: str
    drained_s: float | None
    """From when the old generation was told to drain to its end."""
    log_tail: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether the other side serves now."""
        return self.outcome == "done"

    @property
    def cut_count(self) -> int:
        """How many connections were cut."""
        return (self.connections or {}).get("cut", 0) or len(self.cut)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory (RSS of all processes) right after the switch, in bytes."""

    current_bytes: int
    candidate_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What an app would need, and why."""

    need: str
    why: str
    write: str
    """What to write, or to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherWay:
    """The same change by other means."""

    way: str
    requests: int
    lost: int
    refused_s: float
    """From the first loss to the last."""
    fates: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    """Why it was not tried, or failed; empty if it was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a rehearsal has found."""

    app: str
    target: str
    outcome: str
    """passed, lost, or failed: the candidate did not take over."""
    started_at: str
    took_s: float
    network: str
    current: str
    candidate: str
    """Release or directory."""
    paths: tuple[str, ...]
    post: str
    requests: int
    lost: int
    cut: int
    first_start_s: float | None
    """Of the current release."""
    windows: tuple[Result, ...] = ()
    handoffs: tuple[HandoffResult, ...] = ()
    memory: Memory | None = None
    losses: tuple[Loss, ...] = ()
    """The first of them."""
    advice: tuple[Advice, ...] = ()
    others: tuple[OtherWay, ...] = ()
    notes: tuple[str, ...] = ()
