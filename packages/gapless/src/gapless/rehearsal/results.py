"""What became of the requests of a rehearsal, in each of its windows.  Pure.

A loss counts in the window in which it happened, any other request in that in which it
was due.  A status of 500 to 599 is a loss unless the app gave it for the same request
before anything was changed; one of 400 to 499 that it did not give then is told as
*different*.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gapless.rehearsal.load.model import ANSWERED, SLOW, STATUS, Request, Traffic

MOST_NAMED = 10
"""Losses that are named one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A part of a rehearsal; times are on CLOCK_MONOTONIC."""

    name: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of the requests of one window."""

    name: str
    requests: int
    lost: int
    fates: dict[str, int] = field(default_factory=dict)
    """How many were lost in which way."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    different: dict[str, int] = field(default_factory=dict)
    """Answers of another status than before anything was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A request that was lost."""

    kind: str
    path: str
    fate: str
    detail: str
    at_s: float
    """Since the load began."""
    window: str
    is_reused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What became of all requests."""

    windows: tuple[Result, ...]
    losses: tuple[Loss, ...]
    """All of them, the first one first."""

    @property
    def lost(self) -> int:
        """How many requests were lost."""
        return len(self.losses)

    def lost_in(self, *names: str) -> int:
        """Return how many were lost in some windows."""
        return sum(each.lost for each in self.windows if each.name in names)


_Key = tuple[str, str]
"""The kind of a request and its path."""


def results(requests: Iterable[Request], windows: Sequence[Window]) -> Results:
    """Return what became of requests; the first window is the one to compare with."""
    known = sorted(requests, key=lambda each: each.ended)
    usual = _usual(known, windows[0])
    found: dict[str, list[Request]] = {each.name: [] for each in windows}
    losses: list[Loss] = []
    lost: dict[str, collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    different: dict[str, collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    for request in known:
        fate, detail = _judged(request, usual)
        at = request.due if fate == ANSWERED else request.ended
        window = _window_at(windows, at)
        found[window.name].append(request)
        if fate != ANSWERED:
            lost[window.name][fate] += 1
            losses.append(
                Loss(
                    kind=request.kind,
                    path=request.path,
                    fate=fate,
                    detail=detail,
                    at_s=round(request.ended - windows[0].began, 3),
                    window=window.name,
                    is_reused=request.is_reused,
                )
            )
        elif _is_other(request.status, usual[_key(request)]):
            asked = f"{request.status} for {request.path} ({request.kind})"
            different[window.name][asked] += 1
    return Results(
        windows=tuple(
            Result(
                name=each.name,
                requests=len(found[each.name]),
                lost=lost[each.name].total(),
                fates=dict(lost[each.name]),
                p50_ms=_percentile_ms(found[each.name], 0.50),
                p99_ms=_percentile_ms(found[each.name], 0.99),
                different=dict(different[each.name]),
            )
            for each in windows
        ),
        losses=tuple(losses),
    )


def _usual(
    requests: Iterable[Request], first: Window
) -> collections.defaultdict[_Key, set[int]]:
    """Return which statuses the app gave for each request before anything was changed."""
    found: collections.defaultdict[_Key, set[int]] = collections.defaultdict(set)
    for request in requests:
        if request.fate == ANSWERED and request.ended < first.ended:
            found[_key(request)].add(request.status)
    return found


def _judged(
    request: Request, usual: collections.defaultdict[_Key, set[int]]
) -> tuple[str, str]:
    if (
        request.fate == ANSWERED
        and request.status >= 500
        and request.status not in usual[_key(request)]
    ):
        return STATUS, str(request.status)
    return request.fate, request.detail


def unasked(requests: Iterable[Request], first: Window) -> list[str]:
    """Return for which requests the app gave errors alone: they show little."""
    return [
        f"{path} ({kind}) is always answered with {' or '.join(map(str, sorted(found)))}: "
        "--path, --post or --header may ask for what the app really serves"
        for (kind, path), found in sorted(_usual(requests, first).items())
        if min(found) >= 400
    ]


def _is_other(status: int, usual: set[int]) -> bool:
    """Return whether a status is an error that was not given before, as far as is known."""
    return status >= 400 and bool(usual) and status not in usual


def asked(traffics: Iterable[Traffic]) -> set[_Key]:
    """Return each request that a load sends again and again."""
    return {(each.kind, path) for each in traffics for path in each.paths}


def answered(requests: Iterable[Request]) -> set[_Key]:
    """Return which of them were answered once at least."""
    return {_key(each) for each in requests if each.fate == ANSWERED}


def _key(request: Request) -> _Key:
    return request.kind, request.path


def _window_at(windows: Sequence[Window], at: float) -> Window:
    for window in windows:
        if at < window.ended:
            return window
    return windows[-1]


def _percentile_ms(requests: Iterable[Request], part: float) -> float | None:
    """Return a percentile of the answered ones; a slow body is not the app's time."""
    took = sorted(
        each.took_s * 1e3
        for each in requests
        if each.fate == ANSWERED and each.kind != SLOW
    )
    return round(took[min(len(took) - 1, int(len(took) * part))], 2) if took else None
