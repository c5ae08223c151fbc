"""What `rehearse` has found."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Window(msgspec.Struct):
    """What became of the requests of a part of a rehearsal."""

    name: str
    requests: int
    lost: int
    fates: dict[str, int]
    """How many were lost in which way."""
    p50_ms: float | None
    p99_ms: float | None
    different: dict[str, int]
    """Answers of another status than before anything was changed."""


class Loss(msgspec.Struct):
    """A request that was lost."""

    kind: str
    path: str
    fate: str
    detail: str
    at_s: float
    """Since the load began."""
    window: str
    is_reused: bool


class Handoff(msgspec.Struct):
    """One of the two handoffs."""

    direction: str
    outcome: str
    reason: str
    hint: str
    start_s: float | None
    """From its start until it was ready."""
    switched_s: float | None
    took_s: float
    connections: dict[str, int] | None
    cut: list[dict[str, Any]]
    counts_requests: bool
    not_taken_over: str
    drained_s: float | None
    log_tail: list[str]


class Memory(msgspec.Struct):
    """Memory of all processes right after the switch."""

    current_bytes: int
    candidate_bytes: int


class Advice(msgspec.Struct):
    """What the app would need, and why."""

    need: str
    why: str
    write: str


class OtherWay(msgspec.Struct):
    """The same change by other means."""

    way: str
    requests: int
    lost: int
    refused_s: float
    """From the first loss to the last."""
    fates: dict[str, int]
    reason: str
    """Why it was not tried, or failed."""


class Rehearsed(msgspec.Struct):
    """What a rehearsal has found."""

    app: str
    target: str
    outcome: Literal["passed", "lost", "failed"]
    started_at: str
    took_s: float
    network: str
    current: str
    candidate: str
    paths: list[str]
    post: str
    requests: int
    lost: int
    cut: int
    first_start_s: float | None
    windows: list[Window]
    handoffs: list[Handoff]
    memory: Memory | None
    losses: list[Loss]
    """The first of them."""
    advice: list[Advice]
    others: list[OtherWay]
    notes: list[str]
    report: str | None
    """The file in which it is kept."""
