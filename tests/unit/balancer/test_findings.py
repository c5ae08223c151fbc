"""Which wrong settings are concluded from how requests ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gapless.balancer.findings import findings, findings_of_next
from gapless.balancer.request_kinds import KINDS, RequestCounts


def counts(*refused: str, failed: str = "") -> list[RequestCounts]:
    """Return counts in which these kinds were refused or failed."""
    return [
        RequestCounts(
            kind=kind,
            sent=24,
            refused=12 if kind.name in refused else 0,
            failed=3 if kind.name == failed else 0,
        )
        for kind in KINDS
    ]


POSTS = ("POST", "POST with a late body", "large POST")


@pytest.mark.parametrize(
    ("refused", "advice"),
    [
        (("GET", *POSTS), "not sent to another server, or not often enough"),
        (POSTS, "non_idempotent"),
        (("POST with a late body", "large POST"), "a body that comes after its head"),
        (("large POST",), "tune.bufsize"),
    ],
)
def test_what_is_wrong_is_concluded(refused: tuple[str, ...], advice: str) -> None:
    """Only the widest mistake that explains the counts is reported."""
    (finding,) = findings(counts(*refused))
    assert advice in finding


def test_what_fails_when_the_next_one_drains_is_told_apart() -> None:
    """A server that refused before serves again, and the balancer sends it nothing."""
    assert findings_of_next(counts()) == []
    (finding,) = findings_of_next(counts(failed="GET"))
    assert "3 of 96" in finding
    assert "max_fails=0" in finding


def test_other_failures_are_told_apart() -> None:
    """A 502 is no refusal."""
    assert findings(counts()) == []
    (finding,) = findings(counts(failed="GET"))
    assert "GET: 3 of 24 failed otherwise" in finding
    assert "max_fails=0" in finding


@pytest.mark.parametrize(
    ("kind", "how", "advice"),
    [
        ("POST", {"failed": 2}, "keepalive_requests 1"),
        ("GET", {"slow": 2}, "proxy_connect_timeout"),
        ("GET", {"failed": 2, "unanswered": 2}, "timeout connect 2s"),
        ("large POST", {"failed": 2, "too_large": 2}, "client_max_body_size"),
    ],
)
def test_each_failure_has_its_setting(
    kind: str, how: dict[str, Any], advice: str
) -> None:
    """One finding for each, without the advice for the others."""
    found = [
        replace(each, **how) if each.kind.name == kind else each for each in counts()
    ]
    (finding,) = findings(found)
    assert advice in finding
    assert "max_fails" not in finding
