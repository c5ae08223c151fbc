"""The rollouts of the fleets of a configuration, as the web page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gapless.agent.open_store import open_store
from gapless.base.errors import GaplessError
from gapless.cli import output
from gapless.cli.display import rollouts
from gapless.config.toml.fleets import Fleet
from gapless.rollout.model import TRANSITIONS, Action, Phase, State
from gapless.web.board import shown

MOST_HOSTS = 500


def read(fleets: Mapping[str, Fleet]) -> list[dict[str, Any]]:
    """Return each fleet with its rollout, its hosts, and the rollouts that have ended.

    A coordinator that does not answer costs its own fleet alone.
    """
    return [_fleet(app, fleet) for app, fleet in fleets.items()]


def _fleet(app: str, fleet: Fleet) -> dict[str, Any]:
    try:
        store = open_store(fleet, output.print_nothing)
        status = rollouts.status_json(fleet, store)
        history = store.history.read()
    except (GaplessError, OSError) as error:
        return {"app": app, "trouble": shown(str(error))}
    hosts = sorted(status["hosts"], key=lambda each: str(each["host"]))
    found: dict[str, Any] = shown(
        {
            "app": app,
            **{k: status.get(k) for k in ("number", "release", "state", "reason")},
            "previous": status.get("previous"),
            "may": may(status),
            "hosts": [
                {k: each.get(k) for k in ("host", "release", "phase", "at", "reason")}
                for each in hosts[:MOST_HOSTS]
            ],
            "history": [
                {
                    k: each.get(k)
                    for k in (
                        *("number", "release", "outcome", "began_at", "ended_at"),
                        *("by", "changed", "reason"),
                    )
                }
                for each in history
            ],
        }
    )
    return found


def may(status: Mapping[str, Any]) -> list[str]:
    """Return the actions that mean something for a rollout, as it stands.

    *status* is what `rollout status --json` prints.
    """
    if status["state"] is None:
        return []
    state, has_previous = State(status["state"]), bool(status["previous"])
    has_failed = any(each["phase"] == Phase.FAILED.value for each in status["hosts"])
    # Of a rollout that is over, only hosts that failed have something to try again.
    resumes = state in (State.HELD, State.STUCK) or has_failed
    asked = {
        "hold": (state, Action.HOLD) in TRANSITIONS,
        "resume": resumes and (state, Action.RESUME) in TRANSITIONS,
        "abort": has_previous and (state, Action.REVERT) in TRANSITIONS,
        "rollback": has_previous and state is State.DONE,
    }
    return [action for action, makes_sense in asked.items() if makes_sense]
