"""What keys of the screen and buttons of the page do: the requests of the commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Protocol

from gapless.base import codec
from gapless.base.errors import MisuseError
from gapless.cli import app_requests, configuration, output
from gapless.client import Client

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

    @property
    def release(self) -> str:
        """The release that serves, as it was seen; empty: whichever does."""


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
    from gapless.cli.fleet import (  # noqa: PLC0415 - few go back
        rollout_actions,
        rollout_run,
    )
    from gapless.deploy.deployment import Deployment  # noqa: PLC0415 - the same
    from gapless.push.upload_outcome import KnownOutcomes  # noqa: PLC0415 - the same
    from gapless.releases.steps import commands  # noqa: PLC0415 - the same

    releases = configuration.release(config, app)
    commands.user_of(releases)  # raises before anything has begun
    declared = configuration.fleets(config, app)
    if app not in declared:
        known = KnownOutcomes(releases)
        return Deployment(client, releases, on_step, known.end).rollback(
            "", seen=deed.release
        )

    def step(name: str, detail: str) -> None:
        on_step({"app": app, "step": name, "detail": detail, "at_s": 0.0})

    publisher, store = rollout_run.open_fleet(declared[app], step)
    before = rollout_actions.current(store, deed.rollout)  # who asks has looked at it
    if before and deed.release not in ("", before.target):
        raise MisuseError(
            f"{app}: rollout {before.number} is to {before.target}, and {deed.release} "
            "served here when this rollback was asked for",
            hint="nothing was done; look at that rollout, and go back from there",
        )
    rollout = publisher.rollback("", seen=before.number if before else 0)
    return {"outcome": "done", "reason": f"rollout {rollout.number} has begun"}


def _moved_on(config: str, deed: Deed) -> dict[str, Any]:
    """Hold, resume or abort the rollout that is meant."""
    from gapless.agent.open_store import open_store  # noqa: PLC0415 - loads TLS
    from gapless.cli.fleet import rollout_actions  # noqa: PLC0415 - few have a fleet

    store = open_store(configuration.fleet(config, deed.app), output.print_nothing)
    after = rollout_actions.apply(store, deed.action, meant=deed.rollout)
    return {
        "outcome": "done",
        "reason": f"rollout {after.number} is {after.state.value}",
    }
