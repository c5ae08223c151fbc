"""Start an app; what runs already is left alone, but for apps of a PM2 file.

Those are handed over to what the file says now.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from gapless import deploy
from gapless.base.errors import MisuseError
from gapless.cli import app_options, foreground, requests, selection
from gapless.cli.requests import Wish
from gapless.client import Client
from gapless.config import load, resolve

REST = "arguments"
"""Where the words behind -- go: they are the program's."""
_OF_TOML = ("name", "instances")
_DEFAULTS = (
    "gapless.toml",
    *(f"ecosystem.config.{ending}" for ending in ("js", "cjs", "mjs")),
    *("ecosystem.json", "app.json"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `start` understands."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="?",
        default="",
        help="a gapless.toml, a PM2 file, - for one on standard input, a script, "
        "a program, or an app; default: gapless.toml or ecosystem.config.js",
    )
    requests.add_options(parser)
    parser.add_argument(
        "--update-env", action="store_true", help="take over this shell's environment"
    )
    parser.add_argument(
        "--foreground",
        "--no-daemon",
        action="store_true",
        help="stay, print the logs, and end with the apps: for containers",
    )
    parser.add_argument(
        "--like-pm2", action="store_true", help="what is not said is as PM2 has it"
    )
    selection.add_json(parser)
    app_options.add(parser)
    parser.set_defaults(arguments=[])
    parser.usage = "%(prog)s [TARGET] [options] [-- ARG ...]"


def run(asked: argparse.Namespace) -> int:
    """Start what was asked for."""
    client = Client()
    asked.target = asked.target or _default()
    wanted = _wishes(asked, client)

    def start() -> int:
        return requests.carry_out(client, wanted, as_json=asked.json)

    if asked.foreground:
        return foreground.run(client, [wish.spec for wish in wanted], start)
    return start()


def _default() -> str:
    """Return the file that is meant where none is named.  Raises MisuseError."""
    found = [name for name in _DEFAULTS if os.path.isfile(name)]
    if not found:
        raise MisuseError(
            "start what? there is none of these here: " + ", ".join(_DEFAULTS),
            hint="gapless start TARGET",
        )
    return found[0]


def _wishes(asked: argparse.Namespace, client: Client) -> list[Wish]:
    if asked.target.endswith(".toml"):
        return _of_toml(asked)
    if load.is_configuration(asked.target):
        return requests.of_file(client, asked.target, asked)
    if known := _known(asked, client):
        return known
    declared: dict[str, Any] = {"script": asked.target, **app_options.fields(asked)}
    if asked.arguments:
        declared["args"] = asked.arguments
    if asked.env:
        raise MisuseError("--env chooses within a PM2 file; a script has no env_NAME")
    loaded = load.of_script(
        declared, resolve.inherited(os.environ), like_pm2=asked.like_pm2
    )
    requests.warn(loaded.warnings)
    return [
        Wish("start" if each.autostart else "register", each)
        for each in loaded.apps.values()
    ]


def _of_toml(asked: argparse.Namespace) -> list[Wish]:
    said = app_options.fields(asked)
    if other := [name for name in said if name not in _OF_TOML]:
        raise MisuseError(
            f"--{other[0].replace('_', '-')} is not for a gapless.toml",
            hint="write it into the file; `gapless check` names the keys",
        )
    if asked.env:
        raise MisuseError("--env chooses within a PM2 file; a gapless.toml has one")
    count = _count(said.get("instances"))
    only = [name for name in asked.only.split(",") if name]
    only += [said["name"]] if said.get("name") and not only else []
    environment = resolve.inherited(os.environ)
    source = load.Source(asked.target)
    loaded = source.load(environment, load.Options(only=tuple(only)))
    found = [Wish("start", each) for each in loaded.apps.values()]
    if not found:
        raise MisuseError(f"{asked.target} declares no app")
    return requests.with_instances(found, count)


def _count(said: str | None) -> int | None:
    if said is None:
        return None
    if not said.isdigit() or not int(said):
        raise MisuseError(f"cannot run {said} instances")
    return int(said)


def _known(asked: argparse.Namespace, client: Client) -> list[Wish]:
    """Return the wish for apps that are here, if the target names some."""
    if os.path.isfile(asked.target) or not os.path.exists(client.home.state):
        return []
    names = selection.known(client, asked.target)
    environment = resolve.inherited(os.environ) if asked.update_env else None
    op = "reload" if asked.like_pm2 else "start"
    running = [requests.described(client, name) for name in names]
    found = [
        Wish(op, deploy.refreshed(each, environment=environment)) for each in running
    ]
    return requests.with_instances(
        found, _count(app_options.fields(asked).get("instances"))
    )
