"""The report of a deployment: that of the handoff, or one without a handoff."""

from __future__ import annotations

from typing import Any

from gapless.base import clock
from gapless.supervisor.decide.actions import STOPPED


def without_handoff(app: str, token: str = "") -> dict[str, Any]:
    """Return the report of a deployment of an app that does not run here."""
    return {
        "app": app,
        "token": token,
        "action": None,
        "outcome": "done",
        "reason": None,
        "hint": None,
        "generation": {"old": None, "new": None},
        "release": {"old": None, "new": None},
        "instances": 0,
        "started_at": clock.stamp(clock.wall()),
        "steps": [],
        "connections": {"seen": 0, "finished": 0, "cut": 0, "unknown": 0},
        "requests": None,
        "procedures": None,
        "longest": None,
        "cut": [],
        "log_tail": [],
    }


def blames_release(report: dict[str, Any]) -> bool:
    """Return whether a report says that its release failed.

    It does not where somebody else ended the handoff: by a later request (`superseded`),
    or by stopping the app or the whole host.
    """
    return bool(report["outcome"] == "failed" and report["reason"] != STOPPED)


def merged(
    steps: list[dict[str, Any]], later: list[dict[str, Any]], offset_s: float
) -> list[dict[str, Any]]:
    """Return steps of a deployment and of its handoff, in order of time.

    The handoff began *offset_s* after the deployment; its steps are shifted by that.
    """
    later = [shifted(each, offset_s) for each in later]
    return sorted([*steps, *later], key=lambda step: step["at_s"])


def shifted(step: dict[str, Any], offset_s: float) -> dict[str, Any]:
    """Return a step with its time on a clock that began *offset_s* earlier."""
    return step | {"at_s": round(step["at_s"] + offset_s, 4)}
