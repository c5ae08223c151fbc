"""From words on the command line to what is asked for each app.

A file of PM2 names apps of which some may run: those are handed over to what it says
now, the others are started.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from gapless import deploy
from gapless.base import codec
from gapless.base.errors import MisuseError
from gapless.cli import app_options, selection
from gapless.client import Client
from gapless.config import load, resolve
from gapless.supervisor.memory import spec


@dataclass(frozen=True, slots=True)
class Wish:
    """One request about one app."""

    op: str
    """start, reload, restart or register."""
    spec: spec.AppSpec


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what chooses among what a file says."""
    parser.add_argument(
        "--env", default=None, metavar="NAME", help="lay env_NAME over env; remembered"
    )
    parser.add_argument(
        "--only", default="", metavar="APP,...", help="just these apps of a file"
    )


def of_file(client: Client, path: str, asked: argparse.Namespace) -> list[Wish]:
    """Return what a file asks for: start what does not run, hand over what does."""
    running = _running(client)
    only = tuple(name for name in asked.only.split(",") if name)
    wishes: list[Wish] = []
    said: list[str] = []
    source = load.Source(path)
    labels = only or source.labels()
    for label in labels:
        for known in _known(running, label, asked.env):
            loaded = source.load(*_as_known(source, label, known, asked))
            warn([each for each in loaded.warnings if each not in said])
            said += loaded.warnings
            wishes += [_wish(wanted, running) for wanted in loaded.apps.values()]
    return wishes


def _known(
    running: dict[str, spec.AppSpec], label: str, profile: str | None
) -> list[spec.AppSpec | None]:
    """Return the apps that a label means here; None if it means none yet.

    With `append_env_to_name` one label may run in several profiles, by several names.
    """
    found = [each for each in running.values() if (each.label or each.name) == label]
    if profile is not None:
        found = [each for each in found if each.profile == profile] or found[:1]
    return list(found) or [None]


def _as_known(
    source: load.Source,
    label: str,
    known: spec.AppSpec | None,
    asked: argparse.Namespace,
) -> tuple[dict[str, str], load.Options]:
    """Return what an app inherits, and what is chosen of its file.

    What was chosen when it was started is chosen still, unless something else is said.
    """
    profile, started_in = asked.env, ""
    environment = resolve.inherited(os.environ)
    if known is not None:
        profile = known.profile if profile is None else profile
        if known.config_file == source.file:
            started_in = known.started_in
        if not asked.update_env:
            environment = deploy.inherited(known)
    return environment, load.Options(
        profile=profile or "",
        overrides=app_options.fields(asked),
        started_in=started_in,
        only=(label,),
    )


def _wish(wanted: spec.AppSpec, running: dict[str, spec.AppSpec]) -> Wish:
    if wanted.name in running:
        return Wish("reload", wanted)
    return Wish("start" if wanted.autostart else "register", wanted)


def of_apps(
    client: Client, names: Collection[str], op: str, *, update_env: bool
) -> list[Wish]:
    """Return the wish to hand over apps that are here; reload reads their files."""
    environment = resolve.inherited(os.environ) if update_env else None
    wishes = []
    for name in names:
        running = described(client, name)
        if op == "reload":
            wanted = deploy.refreshed(running, environment=environment)
        else:
            wanted = deploy.relocated(running, environment=environment)
        wishes.append(Wish(op, wanted))
    return wishes


def described(client: Client, name: str) -> spec.AppSpec:
    """Return the configuration of an app that is here."""
    return codec.decode(spec.AppSpec, client.request("describe", app=name)["spec"])


def carry_out(
    client: Client, wishes: Collection[Wish], *, as_json: bool, recycle: bool = False
) -> int:
    """Ask for all at once; return the exit code."""
    by_name = {wish.spec.name: wish for wish in wishes}
    if len(by_name) != len(wishes):
        raise MisuseError("an app was named twice")

    for wish in wishes:
        # One alone gets its ids when it starts; several get them in their file's order.
        if wish.op == "register" or (wish.op == "start" and len(wishes) > 1):
            _make_known(client, wish)

    def ask(app: str, hear: Any) -> dict[str, Any]:
        wish = by_name[app]
        if wish.op == "register":
            return {"app": app, "action": "register", "outcome": "done"}
        fields: dict[str, Any] = {"spec": codec.encode(wish.spec)}
        if wish.op != "start":
            fields |= {"app": app, "recycle": recycle}
        report: dict[str, Any] = client.request(wish.op, hear=hear, **fields)
        return report

    return selection.each(list(by_name), ask, as_json=as_json)


def _make_known(client: Client, wish: Wish) -> None:
    """Let an app have its ids: in the order of its file, whoever starts faster."""
    try:
        client.request("register", spec=codec.encode(wish.spec))
    except MisuseError:
        if wish.op == "register":
            raise
        # It runs already, which its start will say.


def warn(warnings: Collection[str]) -> None:
    """Print what has no effect, where it disturbs nobody who reads the output."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _running(client: Client) -> dict[str, spec.AppSpec]:
    """Return the apps that run here."""
    if not client.has_state():
        return {}
    rows = client.request("list")["apps"]
    names = [
        row["name"] for row in rows if row["status"] not in ("stopped", "stopping")
    ]
    return {name: described(client, name) for name in names}


def with_instances(wishes: list[Wish], count: int | None) -> list[Wish]:
    """Return wishes for so many instances each."""
    if count is None:
        return wishes
    return [replace(w, spec=replace(w.spec, instances=count)) for w in wishes]
