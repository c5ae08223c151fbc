"""From the words of a command to one request for each app, and to the supervisor.

A word names a file, an app that is known here, or a program.  A PM2 file may name apps that
run: those are handed over to what it says now, the others are started.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from gapless.base import codec
from gapless.base.errors import MisuseError
from gapless.cli import app_options, selection
from gapless.client import Client
from gapless.config.choice import Choice, choice_of, inherited, label_of
from gapless.config.declarations import DeclarationFile, declaration_file
from gapless.config.refresh import refreshed, relocated
from gapless.supervisor.memory.spec import AppSpec

Running = dict[str, AppSpec]


@dataclass(frozen=True, slots=True)
class AppRequest:
    """One request about one app."""

    action: str
    """start, reload, restart or register."""
    spec: AppSpec


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose among what a file declares."""
    parser.add_argument(
        "--env", default=None, metavar="NAME", help="lay env_NAME over env; remembered"
    )
    parser.add_argument(
        "--only", default="", metavar="APP,...", help="only these apps of a file"
    )


# --- from words to requests -------------------------------------------------------------


def from_file(client: Client, path: str, asked: argparse.Namespace) -> list[AppRequest]:
    """Return what a PM2 file asks for: start what does not run, hand over what does."""
    running = _running(client)
    declared = declaration_file(path)
    requests: list[AppRequest] = []
    warnings: list[str] = []
    for label in only(asked) or declared.labels():
        for app in _meant_by(label, running, asked.env):
            loaded = declared.load(_choice(declared, label, app, asked))
            warn([each for each in loaded.warnings if each not in warnings])
            warnings += loaded.warnings
            requests += [_request(each, running) for each in loaded.apps.values()]
    return requests


def from_apps(
    client: Client, names: Collection[str], action: str, *, update_env: bool
) -> list[AppRequest]:
    """Return the requests to hand over apps that are known here.

    A reload reads their files anew, a restart does not.
    """
    environment = inherited(os.environ) if update_env else None
    renewed = refreshed if action == "reload" else relocated
    return [
        AppRequest(action, renewed(described(client, name), environment=environment))
        for name in names
    ]


def only(asked: argparse.Namespace) -> tuple[str, ...]:
    """Return the apps that --only names; none means all."""
    return tuple(name for name in asked.only.split(",") if name)


def _meant_by(
    label: str, running: Running, profile: str | None
) -> list[AppSpec] | list[None]:
    """Return the running apps that a label means; one None if it means none yet.

    With `append_env_to_name` one label may run in several profiles, by several names.
    """
    found = [each for each in running.values() if label_of(each) == label]
    if profile is not None:
        found = [each for each in found if each.profile == profile] or found[:1]
    return found or [None]


def _choice(
    declared: DeclarationFile,
    label: str,
    app: AppSpec | None,
    asked: argparse.Namespace,
) -> Choice:
    """Return what is chosen of a file for an app, which runs or not.

    What was chosen when it was started stays chosen, unless the command says otherwise.
    """
    choice = Choice(environment=inherited(os.environ))
    if app is not None:
        before = choice_of(app)
        same_file = app.config_file == declared.file
        choice = Choice(
            environment=choice.environment if asked.update_env else before.environment,
            profile=before.profile,
            started_in=before.started_in if same_file else "",
        )
    return replace(
        choice,
        profile=choice.profile if asked.env is None else asked.env,
        overrides=app_options.fields(asked),
        only=(label,),
    )


def _request(wanted: AppSpec, running: Running) -> AppRequest:
    if wanted.name in running:
        return AppRequest("reload", wanted)
    return AppRequest("start" if wanted.autostart else "register", wanted)


def with_instances(requests: list[AppRequest], count: int | None) -> list[AppRequest]:
    """Return requests for so many instances each; None leaves the number as it is."""
    if count is None:
        return requests
    return [replace(r, spec=replace(r.spec, instances=count)) for r in requests]


def warn(warnings: Collection[str]) -> None:
    """Print what has no effect, on standard error: programs read standard output."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


# --- the supervisor ---------------------------------------------------------------------


def described(client: Client, name: str) -> AppSpec:
    """Return the configuration of an app that is known here."""
    return codec.decode(AppSpec, client.request("describe", app=name)["spec"])


def _running(client: Client) -> Running:
    """Return the apps that run here, by name."""
    if not client.has_state():
        return {}
    rows = client.request("list")["apps"]
    names = [
        row["name"] for row in rows if row["status"] not in ("stopped", "stopping")
    ]
    return {name: described(client, name) for name in names}


def send(
    client: Client,
    requests: Collection[AppRequest],
    *,
    as_json: bool,
    recycle: bool = False,
) -> int:
    """Send all requests at the same time; return the exit code."""
    by_name = {request.spec.name: request for request in requests}
    if len(by_name) != len(requests):
        raise MisuseError("an app was named twice")

    for request in requests:
        # One app alone gets its ids when it starts; several get them in their order here.
        starts = request.action == "start" and len(requests) > 1
        if request.action == "register" or starts:
            _register(client, request)

    def ask(app: str, progress: Any) -> dict[str, Any]:
        request = by_name[app]
        if request.action == "register":
            return {"app": app, "action": "register", "outcome": "done"}
        fields: dict[str, Any] = {"spec": codec.encode(request.spec)}
        if request.action != "start":
            fields |= {"app": app, "recycle": recycle}
        report: dict[str, Any] = client.request(
            request.action, on_event=progress, **fields
        )
        return report

    return selection.each(list(by_name), ask, as_json=as_json)


def _register(client: Client, request: AppRequest) -> None:
    """Make an app known, so that it has its ids in the order of its file."""
    try:
        client.request("register", spec=codec.encode(request.spec))
    except MisuseError:
        if request.action == "register":
            raise
        # It runs already, and its start will say so.
