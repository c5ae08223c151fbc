"""Start an app.  An app that runs already is left alone, unless a PM2 file names it.

Then it is handed over to what the file says now.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from gapless.base.errors import MisuseError
from gapless.cli import app_options, foreground, requests, selection
from gapless.cli.requests import AppRequest
from gapless.client import Client
from gapless.config.choice import Choice, inherited
from gapless.config.declarations import declaration_file
from gapless.config.file_kinds import is_configuration
from gapless.config.refresh import refreshed
from gapless.config.script import load_script

REST = "arguments"
"""Where the words behind -- go: they are the program's arguments."""
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
        "--like-pm2", action="store_true", help="use PM2's defaults, not gapless's own"
    )
    selection.add_json(parser)
    app_options.add(parser)
    parser.set_defaults(arguments=[])
    parser.usage = "%(prog)s [TARGET] [options] [-- ARG ...]"


def run(asked: argparse.Namespace) -> int:
    """Start what was asked for."""
    client = Client()
    asked.target = asked.target or _default()
    wanted = _requests(asked, client)

    def start() -> int:
        return requests.send(client, wanted, as_json=asked.json)

    if asked.foreground:
        return foreground.run(client, [each.spec for each in wanted], start)
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


def _requests(asked: argparse.Namespace, client: Client) -> list[AppRequest]:
    if asked.target.endswith(".toml"):
        return _from_toml(asked)
    if is_configuration(asked.target):
        return requests.from_file(client, asked.target, asked)
    return _from_known(asked, client) or _from_script(asked)


def _from_toml(asked: argparse.Namespace) -> list[AppRequest]:
    given = app_options.fields(asked)
    if other := [name for name in given if name not in _OF_TOML]:
        raise MisuseError(
            f"--{other[0].replace('_', '-')} is not for a gapless.toml",
            hint="write it into the file; `gapless check` names the keys",
        )
    if asked.env:
        raise MisuseError("--env chooses within a PM2 file; a gapless.toml has one")
    count = _count(given.get("instances"))
    only = requests.only(asked) or ((given["name"],) if given.get("name") else ())
    choice = Choice(environment=inherited(os.environ), only=only)
    loaded = declaration_file(asked.target).load(choice)
    if not loaded.apps:
        raise MisuseError(f"{asked.target} declares no app")
    found = [AppRequest("start", each) for each in loaded.apps.values()]
    return requests.with_instances(found, count)


def _from_known(asked: argparse.Namespace, client: Client) -> list[AppRequest]:
    """Return the requests for apps that are known here, if the target names some."""
    if os.path.isfile(asked.target) or not os.path.exists(client.home.state):
        return []
    environment = inherited(os.environ) if asked.update_env else None
    action = "reload" if asked.like_pm2 else "start"
    running = [
        requests.described(client, name)
        for name in selection.known(client, asked.target)
    ]
    found = [
        AppRequest(action, refreshed(each, environment=environment)) for each in running
    ]
    count = _count(app_options.fields(asked).get("instances"))
    return requests.with_instances(found, count)


def _from_script(asked: argparse.Namespace) -> list[AppRequest]:
    declared: dict[str, Any] = {"script": asked.target, **app_options.fields(asked)}
    if asked.arguments:
        declared["args"] = asked.arguments
    if asked.env:
        raise MisuseError("--env chooses within a PM2 file; a script has no env_NAME")
    loaded = load_script(declared, inherited(os.environ), like_pm2=asked.like_pm2)
    requests.warn(loaded.warnings)
    return [
        AppRequest("start" if each.autostart else "register", each)
        for each in loaded.apps.values()
    ]


def _count(given: str | None) -> int | None:
    if given is None:
        return None
    if not given.isdigit() or not int(given):
        raise MisuseError(f"cannot run {given} instances")
    return int(given)
