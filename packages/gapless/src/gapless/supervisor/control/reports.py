"""The report in which an operation ends."""

from __future__ import annotations

from typing import Any

from gapless.base import clock
from gapless.base.outside import secrets
from gapless.supervisor.memory.counts import Counts, Totals
from gapless.supervisor.memory.operations import Operation


def end(operation: Operation, totals: Totals) -> dict[str, Any]:
    """Send the report of an operation to the clients that wait for it, and return it.

    It is added to the *totals* of its app.

    Secrets in it are masked: it is kept, and shown to whoever has pushed the release.
    """
    plain = report(operation)
    totals.add(plain, max(0.0, clock.monotonic() - operation.asked_at))
    known = operation.secret_values | secrets.values_of(operation.spec.environment)
    found: dict[str, Any] = secrets.shown(plain, known)
    for waiter in operation.waiters:
        waiter({"result": found}, True)
    operation.waiters.clear()
    return found


def report(operation: Operation) -> dict[str, Any]:
    """Return what happened, as data."""
    outcome = "failed" if operation.failure else "done"
    stops = operation.action == "stop"
    return {
        "app": operation.app,
        "token": operation.token,
        "action": operation.action,
        "outcome": "superseded" if operation.superseded else outcome,
        "reason": operation.failure or None,
        "hint": operation.hint or None,
        "generation": {
            "old": operation.old_generation,
            "new": None if stops else operation.generation,
        },
        "release": {
            "old": operation.old_release or None,
            "new": None if stops else operation.spec.release or None,
        },
        "instances": 0 if stops else operation.spec.instances,
        "started_at": operation.started_at,
        "steps": operation.steps,
        "connections": _connections(operation),
        "not_taken_over": operation.takeover_trouble or None,
        "outgoing": _calls(operation),
        **_counted(operation.counts),
        "cut": operation.cut,
        "log_tail": operation.log_tail,
    }


def _connections(operation: Operation) -> dict[str, int] | None:
    """Return the connections that were seen; None if the kernel did not show them all."""
    if operation.unseen:
        return None
    # What a dead process cut off may never have been counted as seen.
    cut, unknown = operation.connections_cut, operation.connections_unknown
    seen = max(operation.connections_seen, cut + unknown)
    return {
        "seen": seen,
        "finished": seen - cut - unknown,
        "cut": cut,
        "unknown": unknown,
        "taken_over": operation.connections_taken,
        "given_back": operation.connections_given_back,
    }


def _calls(operation: Operation) -> dict[str, int] | None:
    """Return the calls to databases that were seen; None if the kernel is not asked."""
    if not (operation.spec.outgoing or operation.calls_seen):
        return None
    seen = max(operation.calls_seen, operation.calls_cut)
    return {
        "seen": seen,
        "finished": seen - operation.calls_cut,
        "cut": operation.calls_cut,
    }


def _counted(counts: Counts | None) -> dict[str, Any]:
    """Return the requests and procedures that were counted; null if none were."""
    if counts is None:
        return {"requests": None, "procedures": None, "longest": None}
    return {
        "requests": {
            "finished": counts.finished_requests,
            "refused": counts.refused,
            "cut": counts.cut_requests,
        },
        "procedures": {
            "finished": counts.finished_procedures,
            "cut": counts.cut_procedures,
            "finished_named": _named(counts.finished),
            "cut_named": _named(counts.cut),
        },
        "longest": counts.longest,
    }


def _named(under_way: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Return the names and durations of the procedures among them."""
    return [
        {"name": each["name"], "for_s": round(each["for_s"], 3)}
        for each in under_way
        if each["kind"] == "procedure"
    ]
