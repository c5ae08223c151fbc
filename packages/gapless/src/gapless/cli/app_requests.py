"""The requests that the words of a command mean: one for each app.

A word names a file, an app that is known here, or a program.  Of the apps of a file those
that run are handed over to what the file declares now, the others are started.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gapless.base import app_status, codec
from gapless.base.errors import MisuseError
from gapless.cli import app_options
from gapless.client import Client, in_parts
from gapless.config import shared_ports
from gapless.config.choice import Choice, choice_of, inherited, label_of
from gapless.config.declarations import DeclarationFile, declaration_file
from gapless.config.file_kinds import TOML
from gapless.config.refresh import refreshed, relocated
from gapless.supervisor.decide.addresses import DROPPED
from gapless.supervisor.memory.spec import AppSpec

_Running = dict[str, AppSpec]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRequest:
    """One request about one app."""

    action: str
    """start, reload, restart or register."""
    spec: AppSpec


# --- from words to requests -------------------------------------------------------------


def from_file(client: Client, path: str, args: argparse.Namespace) -> list[AppRequest]:
    """Return the requests for a file: reload what runs, start the rest."""
    check_profile(path, args.env)
    running = _running(client)
    declared = declaration_file(path)
    requests: list[AppRequest] = []
    warnings: list[str] = []
    for label in only(args) or declared.labels():
        for app in _labelled(label, running, args.env):
            loaded = declared.load(_choice(declared, label, app, args))
            print_warnings([each for each in loaded.warnings if each not in warnings])
            warnings += loaded.warnings
            alias = app.alias if app is not None else ""
            requests += [
                _request(replace(each, alias=each.alias or alias), running)
                for each in loaded.apps.values()
            ]
    specs = {each.spec.name: each.spec for each in requests}
    print_warnings(shared_ports.remarks(specs))
    return requests


def from_apps(
    client: Client, names: Collection[str], action: str, args: argparse.Namespace
) -> list[AppRequest]:
    """Return the requests for apps that are known here.

    A restart keeps their configuration, anything else reads their files again, with the
    fields of PM2 in `args.changes` set anew.  Raises GaplessError.
    """
    environment = inherited(os.environ) if args.update_env else None
    changes = getattr(args, "changes", None)
    if args.only:
        raise MisuseError(
            "--only chooses among the apps of a file; name the apps themselves"
        )
    if action == "restart" and args.env is not None:
        raise MisuseError(
            "a restart keeps the configuration, and so the choice of --env",
            hint=f"gapless reload {' '.join(names)} --env {args.env}",
        )

    def renewed(running: AppSpec) -> AppSpec:
        if action == "restart":
            return relocated(running, environment=environment)
        return refreshed(
            running,
            environment=environment,
            profile=args.env,
            changes=changes,
            warnings=None if args.env is None else warnings,
        )

    running = current_specs(client, names)
    warnings: list[str] = []
    found = [AppRequest(action=action, spec=renewed(each)) for each in running.values()]
    print_warnings(warnings)
    return found


def only(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the apps that --only names; none means all."""
    return tuple(name for name in args.only.split(",") if name)


def _labelled(
    label: str, running: _Running, profile: str | None
) -> list[AppSpec] | list[None]:
    """Return the running apps that have a label; one None if no app has it.

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
    args: argparse.Namespace,
) -> Choice:
    """Return what is chosen of a file for an app; *app* is None if it does not run.

    What was chosen when it was started stays chosen, unless the command says otherwise.
    """
    choice = Choice(environment=inherited(os.environ))
    if app is not None:
        before = choice_of(app)
        same_file = app.config_file == declared.file
        choice = Choice(
            environment=choice.environment if args.update_env else before.environment,
            profile=before.profile,
            started_in=before.started_in if same_file else "",
        )
    return replace(
        choice,
        profile=choice.profile if args.env is None else args.env,
        overrides=app_options.fields(args),
        only=(label,),
    )


def _request(wanted: AppSpec, running: _Running) -> AppRequest:
    if wanted.name in running:
        return AppRequest(action="reload", spec=wanted)
    return first_start(wanted)


def first_start(wanted: AppSpec) -> AppRequest:
    """Return the request for an app that does not run: start it, or only list it."""
    return AppRequest(action="start" if wanted.autostart else "register", spec=wanted)


def with_instances(requests: list[AppRequest], count: int | None) -> list[AppRequest]:
    """Return requests for *count* instances each; None leaves the number as it is."""
    if count is None:
        return requests
    return [replace(r, spec=replace(r.spec, instances=count)) for r in requests]


def check_drops(drops: list[str]) -> None:
    """Check the addresses of --drop.  Raises MisuseError."""
    for entry in drops:
        if not re.fullmatch(DROPPED, entry):
            raise MisuseError(
                f"--drop {entry}: this is no port, HOST:PORT or path",
                hint="for example: --drop 9229, or --drop 127.0.0.1:9229",
            )


def print_warnings(warnings: Collection[str]) -> None:
    """Print settings without effect, on standard error: programs read standard output."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def check_profile(path: str, profile: str | None) -> None:
    """Raise MisuseError if --env is for a file that has no profiles."""
    if profile and path.endswith(TOML):
        raise MisuseError(
            "--env chooses within a PM2 file; a gapless.toml has one environment",
            hint="use one file for each environment, or an environment_file",
        )


def check_new(client: Client, names: Collection[str]) -> None:
    """Raise MisuseError if an app runs by one of the names."""
    for name in sorted(that_run(client) & {*names}):
        raise MisuseError(
            f"{name}: an app of this name runs already",
            hint=f"`gapless reload {name}` hands it over; --name starts a second one",
        )


# --- from the supervisor ----------------------------------------------------------------


def current_spec(client: Client, name: str) -> AppSpec:
    """Return the configuration with which an app runs, or ran last."""
    described = client.request("describe", app=name, only="spec")
    return codec.decode(AppSpec, described["spec"])


def current_specs(client: Client, names: Collection[str]) -> _Running:
    """Return the configurations with which apps run, or ran last, by name."""
    found: _Running = {}
    for part in in_parts(names):
        rows = client.request("list", only="specs", apps=part)["apps"]
        specs = {row["name"]: row.get("spec") for row in rows}
        for name in part:  # where nothing runs, a list has none
            spec = specs.get(name)
            found[name] = (
                codec.decode(AppSpec, spec) if spec else current_spec(client, name)
            )
    return found


def that_run(client: Client) -> set[str]:
    """Return the names of the apps that run here."""
    if not client.has_apps():
        return set()
    rows = client.request("list", only="names")["apps"]
    return {r["name"] for r in rows if not app_status.is_over(r["status"])}


def aliases(client: Client) -> dict[str, str]:
    """Return what PM2 would call each app that is known here, by its name."""
    if not client.has_apps():
        return {}
    rows = client.request("list", only="names")["apps"]
    return {row["name"]: row.get("alias") or row["name"] for row in rows}


def _running(client: Client) -> _Running:
    """Return the apps that run here, by name."""
    if not client.has_apps():
        return {}
    rows = client.request("list", only="names")["apps"]
    return current_specs(client, [row["name"] for row in rows if is_reloaded(row)])


def is_reloaded(row: Mapping[str, Any]) -> bool:
    """Return whether a reload hands an app over, by a row of `list`; else it starts it."""
    return app_status.is_wanted(row["status"])
