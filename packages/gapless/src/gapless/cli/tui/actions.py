"""What the keys of the screen do: the same requests as those of the commands.

They run in threads.  What was begun goes on in the supervisor when the screen is closed; a
rollback is also work of this process, which therefore stays until it has ended.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gapless.base import codec
from gapless.base.errors import GaplessError, MisuseError
from gapless.cli import app_requests, configuration, output
from gapless.client import Client

OnStep = Callable[[dict[str, Any]], None]
OnEnd = Callable[[str, str], None]
"""Takes the outcome, and the reason if it is not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What somebody asked for."""

    action: str
    """reload, start, stop, scale, rollback or hold."""
    app: str
    count: int = 0
    """Of instances: for scale."""

    def question(self) -> str:
        """Return what is asked before it is done."""
        return {
            "reload": f"Reload {self.app}, with its file read again?",
            "start": f"Start {self.app}?",
            "stop": f"Stop {self.app}? It finishes what it began.",
            "scale": f"How many instances of {self.app}?",
            "rollback": f"Roll {self.app} back to the release before?",
            "hold": f"Hold the rollout of {self.app}? No further host switches.",
        }[self.action]


def begin(
    deed: Deed, client: Client, config: str, on_step: OnStep, on_end: OnEnd
) -> threading.Thread:
    """Do it in a thread; *on_end* is called when it has ended."""

    def run() -> None:
        try:
            report = _done(deed, client, config, on_step)
        except GaplessError as error:
            hint = f"; {error.hint}" if error.hint else ""
            on_end("failed", f"{error.message}{hint}")
        except OSError as error:
            on_end("failed", f"{deed.action}: {error.strerror or error}")
        else:
            on_end(str(report["outcome"]), str(report.get("reason") or ""))

    # The interpreter waits for a thread that is no daemon: a rollback is done whole.
    thread = threading.Thread(target=run, daemon=deed.action != "rollback")
    thread.start()
    return thread


def _done(deed: Deed, client: Client, config: str, on_step: OnStep) -> dict[str, Any]:
    """Return the report.  Raises GaplessError."""
    match deed.action:
        case "reload" | "start":
            return _with_spec(deed, client, on_step)
        case "stop":
            return _report(client.request("stop", on_event=on_step, app=deed.app))
        case "scale":
            return _report(
                client.request(
                    "scale", on_event=on_step, app=deed.app, instances=deed.count
                )
            )
        case "rollback":
            return _rolled_back(deed, client, config, on_step)
        case "hold":
            return _held(deed, config)
        case _:
            pass
    raise MisuseError(f"{deed.app}: no key does {deed.action}")


def _with_spec(deed: Deed, client: Client, on_step: OnStep) -> dict[str, Any]:
    choice = argparse.Namespace(update_env=False, only="", env=None)
    (wanted,) = app_requests.from_apps(client, [deed.app], deed.action, choice)
    spec = codec.encode(wanted.spec)
    more = {} if deed.action == "start" else {"app": deed.app}
    return _report(client.request(deed.action, on_event=on_step, spec=spec, **more))


def _rolled_back(
    deed: Deed, client: Client, config: str, on_step: OnStep
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
        on_step({"app": deed.app, "step": name, "detail": detail, "at_s": 0.0})

    publisher, _ = rollout_run.open_fleet(declared[deed.app], step)
    rollout = publisher.rollback("")
    return {"outcome": f"rollout {rollout.number} begun"}


def _held(deed: Deed, config: str) -> dict[str, Any]:
    from gapless.agent.open_store import open_store  # noqa: PLC0415 - loads TLS
    from gapless.rollout.model import Action  # noqa: PLC0415 - few have a fleet

    fleet = configuration.fleet(config, deed.app)
    store = open_store(fleet, output.print_nothing)
    if store.apply(Action.HOLD, "hold by hand") is None:
        raise MisuseError(f"{deed.app}: no rollout is under way that could be held")
    return {"outcome": "done"}


def _report(found: Any) -> dict[str, Any]:
    report: dict[str, Any] = found
    return report
