"""What an app would need, as a rehearsal tells it."""

from __future__ import annotations

from typing import Any

from gapless.rehearsal import handoffs
from gapless.rehearsal.advice import advice, hint_of_start
from gapless.rehearsal.load.model import RESET
from gapless.rehearsal.model import OVER
from gapless.rehearsal.results import Loss, Result, Results
from gapless.supervisor.memory.spec import AppSpec

APP = AppSpec(name="shop", command=("node",), directory="/srv/shop")
NOTHING = Results(windows=(), losses=())


def report(**more: Any) -> dict[str, Any]:
    """Return the report of a reload."""
    steps = {"starting": 0.0, "ready": 0.5, "switched": 0.6, "proven": 2.6}
    steps |= {"draining": 2.7, "closed": 3.0}
    return {
        "outcome": "done",
        "reason": None,
        "hint": None,
        "steps": [{"step": name, "at_s": at} for name, at in steps.items()],
        "connections": {"seen": 4, "finished": 4, "cut": 0, "unknown": 0},
        "cut": [],
        "requests": None,
        "not_taken_over": None,
        "log_tail": [],
    } | more


def needs(found: Results = NOTHING, **more: Any) -> list[str]:
    """Return what is advised after one handoff."""
    done = handoffs.result("to the candidate", report(**more))
    return [each.need for each in advice(APP, [done], found)]


def test_a_handoff_without_trouble_needs_nothing() -> None:
    """Who hears advice each time does not read it."""
    assert needs() == []


def test_state_on_disk_needs_a_recycle() -> None:
    """The supervisor has said which file."""
    reason = "generation 1 and generation 2 both have /a/db open for writing"
    assert needs(outcome="failed", reason=reason) == ["overlap = false"]


def test_connections_that_were_cut_need_the_drain_library() -> None:
    """No time-out is long enough for a client that never pauses."""
    cut = [{"pid": 1, "reason": "not idle after 30 s", "connections": 1}]
    assert needs(cut=cut) == ["the drain library"]


def test_work_that_was_cut_needs_more_time() -> None:
    """The app has said what it was doing."""
    counted = {"finished": 0, "refused": 0, "cut": 1}
    cut = [{"pid": 1, "reason": "not idle after 30 s", "requests": 1, "names": []}]
    assert needs(cut=cut, requests=counted) == ["a longer time-out"]


def test_a_drain_that_is_nearly_too_long_is_told() -> None:
    """With more clients it would be cut."""
    steps = [
        {"step": "switched", "at_s": 1.0},
        {"step": "draining", "at_s": 3.0},
        {"step": "closed", "at_s": 25.0},
    ]
    assert needs(steps=steps) == ["a longer time-out"]


def test_losses_on_open_connections_need_the_drain_library() -> None:
    """What could not be taken over says why."""
    loss = Loss(
        kind="keep-alive",
        path="/",
        fate=RESET,
        detail="ECONNRESET",
        at_s=1.0,
        window=OVER,
        is_reused=True,
    )
    found = Results(windows=(Result(name=OVER, requests=10, lost=1),), losses=(loss,))
    assert needs(found, not_taken_over="no ptrace rights") == ["the drain library"]


def test_a_port_that_is_fixed_is_told_from_other_faults() -> None:
    """Only then another network helps."""
    row: dict[str, list[str]] = {"addresses": []}
    held = report(
        outcome="failed", reason="could not bind :80: the port is held by nginx"
    )
    assert handoffs.port_trouble(held, row, {3000: 4000})
    other = report(outcome="failed", reason="exit code 1", log_tail=["no such module"])
    assert not handoffs.port_trouble(other, row, {3000: 4000})
    elsewhere = {"addresses": ["127.0.0.1:3000"]}
    assert handoffs.port_trouble(report(), elsewhere, {3000: 4000})
    assert not handoffs.port_trouble(
        report(), {"addresses": ["[::]:4000"]}, {3000: 4000}
    )


def test_a_current_release_that_does_not_start_gets_a_hint() -> None:
    """Most often it may not write somewhere, or reaches no database."""
    denied = report(reason="exit code 1", log_tail=["EACCES: permission denied, open"])
    assert "--writable" in hint_of_start(denied)
    refused = report(reason="exit code 1", log_tail=["connect ECONNREFUSED 127.0.0.1"])
    assert "--set" in hint_of_start(refused)
