"""What keys of the screen and buttons of the page do: the requests of the commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from gapless.base import codec
from gapless.base.errors import MisuseError
from gapless.cli import app_requests, configuration, output
from gapless.client import Client

if TYPE_CHECKING:
    from gapless.rollout.model import Rollout
    from gapless.rollout.store import FleetStore

OnStep = Callable[[dict[str, Any]], None]


class Deed(Protocol):
    """What somebody asked for."""

    @property
    def action(self) -> str:
        """The verb."""

    @property
    def app(self) -> str:
        """The name of the app."""

    @property
    def instances(self) -> int:
        """How many: of scale."""

    @property
    def rollout(self) -> int:
        """The number of the rollout that is meant; 0: whichever there is."""


OF_ROLLOUTS = ("hold", "resume", "abort")
"""Verbs that need no supervisor: the coordinator is asked."""


def needs_supervisor(config: str, deed: Deed) -> bool:
    """Return whether a deed is one of this host, and not of a fleet."""
    if deed.action == "rollback":
        return deed.app not in configuration.fleets(config, deed.app)
    return deed.action not in OF_ROLLOUTS


def perform(client: Client, config: str, deed: Deed, on_step: OnStep) -> dict[str, Any]:
    """Do it, pass each step on, and return the report.

    *config* is the file that has the releases of apps.  Raises GaplessError, OSError.
    """
    match deed.action:
        case "start" | "reload" | "restart":
            return _with_spec(client, deed, on_step)
        case "stop":
            return _request(client, deed, on_step, app=deed.app)
        case "scale":
            fields = {"app": deed.app, "instances": deed.instances}
            return _request(client, deed, on_step, **fields)
        case "rollback":
            return _rolled_back(client, config, deed, on_step)
        case "hold" | "resume" | "abort":
            return _moved_on(config, deed)
        case _:
            raise MisuseError(f"{deed.app}: nothing does {deed.action}")


def _request(
    client: Client, deed: Deed, on_step: OnStep, **fields: Any
) -> dict[str, Any]:
    report: dict[str, Any] = client.request(deed.action, on_event=on_step, **fields)
    return report


def _with_spec(client: Client, deed: Deed, on_step: OnStep) -> dict[str, Any]:
    choice = argparse.Namespace(update_env=False, only="", env=None)
    (wanted,) = app_requests.from_apps(client, [deed.app], deed.action, choice)
    more = {} if deed.action == "start" else {"app": deed.app}
    return _request(client, deed, on_step, spec=codec.encode(wanted.spec), **more)


def _rolled_back(
    client: Client, config: str, deed: Deed, on_step: OnStep
) -> dict[str, Any]:
    """Go back on this host, or begin the rollout of it in the fleet."""
    app = deed.app
    from gapless.cli.fleet import rollout_run  # noqa: PLC0415 - few go back
    from gapless.deploy.deployment import Deployment  # noqa: PLC0415 - the same
    from gapless.push.upload_outcome import KnownOutcomes  # noqa: PLC0415 - the same
    from gapless.releases.steps import commands  # noqa: PLC0415 - the same

    releases = configuration.release(config, app)
    commands.user_of(releases)  # raises before anything has begun
    declared = configuration.fleets(config, app)
    if app not in declared:
        known = KnownOutcomes(releases)
        return Deployment(client, releases, on_step, known.end).rollback("")

    def step(name: str, detail: str) -> None:
        on_step({"app": app, "step": name, "detail": detail, "at_s": 0.0})

    publisher, store = rollout_run.open_fleet(declared[app], step)
    _current(store, deed)
    rollout = publisher.rollback("")
    return {"outcome": "done", "reason": f"rollout {rollout.number} has begun"}


def _moved_on(config: str, deed: Deed) -> dict[str, Any]:
    """Hold, resume or abort the rollout that is meant."""
    from gapless.agent.open_store import open_store  # noqa: PLC0415 - loads TLS
    from gapless.rollout import decide  # noqa: PLC0415 - few have a fleet
    from gapless.rollout.model import Action  # noqa: PLC0415 - the same

    actions = {"hold": Action.HOLD, "resume": Action.RESUME, "abort": Action.REVERT}
    action, reason = actions[deed.action], f"{deed.action} by hand"
    store = open_store(configuration.fleet(config, deed.app), output.print_nothing)
    before = _current(store, deed)
    if before is None:
        raise MisuseError(f"{deed.app}: nothing was rolled out yet")
    if decide.transition(before, action, reason) is None:
        raise MisuseError(
            f"{deed.app}: rollout {before.number} is {before.state.value}: "
            f"`{deed.action}` has no effect on it"
        )
    after = store.apply(action, reason, seen=before)
    if after is None:
        raise MisuseError(
            f"{deed.app}: rollout {before.number} was {before.state.value}, and changed "
            f"right before `{deed.action}`",
            hint="nothing was done; look at it again",
        )
    return {
        "outcome": "done",
        "reason": f"rollout {after.number} is {after.state.value}",
    }


def _current(store: FleetStore, deed: Deed) -> Rollout | None:
    """Return the rollout of a fleet, if it is the one that is meant.

    Somebody has asked about what they saw.  Raises MisuseError if another followed it.
    """
    rollout, _ = store.rollout()
    if deed.rollout and (rollout is None or rollout.number != deed.rollout):
        now = f"rollout {rollout.number} followed it" if rollout else "it is gone"
        raise MisuseError(
            f"{deed.app}: rollout {deed.rollout} is not the last one any more: {now}",
            hint="nothing was done",
        )
    return rollout
