"""What the web page's buttons do: the same requests as those of the commands."""

from __future__ import annotations

import argparse
from typing import Any

from gapless.base import codec
from gapless.base.errors import MisuseError, UnavailableError
from gapless.cli import app_requests, configuration
from gapless.client import Client
from gapless.web.deeds import Deed, Perform


def performer(client: Client, config: str) -> Perform:
    """Return what does a deed; *config* is the file that has the releases of apps."""

    def perform(deed: Deed, on_step: Any) -> dict[str, Any]:
        if not client.is_running():
            raise UnavailableError(
                f"{deed.action} {deed.app}: no supervisor runs here",
                hint=f"`gapless {deed.action} {deed.app}` on the host starts one",
            )
        match deed.action:
            case "start" | "reload" | "restart":
                return _with_spec(client, deed, on_step)
            case "stop":
                return _ask(client, deed, on_step)
            case "scale":
                return _ask(client, deed, on_step, instances=deed.instances)
            case "rollback":
                return _rolled_back(client, deed, config, on_step)
            case _:
                raise MisuseError(f"{deed.app}: no button does {deed.action}")

    return perform


def _ask(client: Client, deed: Deed, on_step: Any, **fields: Any) -> dict[str, Any]:
    report: dict[str, Any] = client.request(
        deed.action, on_event=on_step, app=deed.app, **fields
    )
    return report


def _with_spec(client: Client, deed: Deed, on_step: Any) -> dict[str, Any]:
    choice = argparse.Namespace(update_env=False, only="", env=None)
    (wanted,) = app_requests.from_apps(client, [deed.app], deed.action, choice)
    fields: dict[str, Any] = {"spec": codec.encode(wanted.spec)}
    if deed.action != "start":
        fields["app"] = deed.app
    report: dict[str, Any] = client.request(deed.action, on_event=on_step, **fields)
    return report


def _rolled_back(
    client: Client, deed: Deed, config: str, on_step: Any
) -> dict[str, Any]:
    """Go back on this host, or begin the rollout of it in the fleet."""
    from gapless.cli.fleet import rollout_run  # noqa: PLC0415 - few go back
    from gapless.deploy.deployment import Deployment  # noqa: PLC0415 - the same
    from gapless.push.upload_outcome import KnownOutcomes  # noqa: PLC0415 - the same
    from gapless.releases.steps import commands  # noqa: PLC0415 - the same

    releases = configuration.release(config, deed.app)
    commands.user_of(releases)  # raises before anything has begun
    declared = configuration.fleets(config, deed.app)
    if deed.app not in declared:
        known = KnownOutcomes(releases)
        return Deployment(client, releases, on_step, known.end).rollback("")

    def step(name: str, detail: str) -> None:
        on_step({"step": name, "detail": detail})

    publisher, _ = rollout_run.open_fleet(declared[deed.app], step)
    rollout = publisher.rollback("")
    return {"outcome": "done", "reason": f"rollout {rollout.number} has begun"}
