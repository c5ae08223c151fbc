"""Start an app.

An app that runs already is left alone, unless TARGET is a PM2 file: then the app is handed
over to what the file declares now.
"""

from __future__ import annotations

import argparse
import itertools
import os
from dataclasses import replace
from typing import Any

from gapless.base.errors import MisuseError, NotFoundError
from gapless.cli import (
    app_options,
    app_requests,
    arguments,
    foreground,
    operations,
    output,
    selection,
)
from gapless.cli.app_requests import AppRequest
from gapless.client import Client
from gapless.config.choice import Choice, inherited
from gapless.config.configuration import Configuration
from gapless.config.declarations import declaration_file
from gapless.config.file_kinds import is_configuration
from gapless.config.script import load_script

REST = "arguments"
"""The words after -- are the arguments of the program."""
_FIELDS_FOR_TOML = ("name", "instances")
_DEFAULTS = (
    "gapless.toml",
    *(f"ecosystem.config.{ending}" for ending in ("js", "cjs", "mjs")),
    *("ecosystem.json", "app.json"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `start`."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="?",
        default="",
        help="a gapless.toml, a PM2 file, - for one on standard input, a script, "
        "a program, or an app that is known here; default: the first of "
        + ", ".join(_DEFAULTS),
    )
    arguments.add_file_choice(parser)
    arguments.add_update_env(parser)
    parser.add_argument(
        "--foreground",
        "--no-daemon",
        action="store_true",
        help="stay in the foreground, print the logs, and end with the apps: "
        "for containers",
    )
    parser.add_argument(
        "--like-pm2",
        action="store_true",
        help="use PM2's defaults in place of gapless's own",
    )
    arguments.add_json(parser)
    app_options.add(parser)
    parser.set_defaults(arguments=[], again=False)
    parser.usage = "%(prog)s [TARGET] [options] [-- ARG ...]"


def run(args: argparse.Namespace) -> int:
    """Start the apps of a target."""
    client = Client()
    args.target = args.target or _default_target()
    wanted = _requests(args, client)

    def start() -> int:
        return operations.send_all(client, wanted, as_json=args.json)

    if args.foreground:
        return foreground.run(client, [each.spec for each in wanted], start)
    return start()


def _default_target() -> str:
    """Return the configuration of this directory.  Raises MisuseError."""
    found = [name for name in _DEFAULTS if os.path.isfile(name)]
    if not found:
        raise MisuseError(
            "start what? there is none of these here: " + ", ".join(_DEFAULTS),
            hint="gapless start TARGET",
        )
    return found[0]


def _requests(args: argparse.Namespace, client: Client) -> list[AppRequest]:
    if args.target.endswith(".toml"):
        return _from_toml(args)
    if is_configuration(args.target):
        return app_requests.from_file(client, args.target, args)
    return _from_known(args, client) or _from_script(args, client)


def _from_toml(args: argparse.Namespace) -> list[AppRequest]:
    given = app_options.fields(args)
    if other := [name for name in given if name not in _FIELDS_FOR_TOML]:
        raise MisuseError(
            f"--{other[0].replace('_', '-')} is not for a gapless.toml",
            hint="write it into the file; `gapless check` names the keys",
        )
    app_requests.check_profile(args.target, args.env)
    count = _count(given.get("instances"))
    only = app_requests.only(args) or ((given["name"],) if given.get("name") else ())
    choice = Choice(environment=inherited(os.environ), only=only)
    loaded = declaration_file(args.target).load(choice)
    if not loaded.apps:
        raise MisuseError(f"{args.target} declares no app")
    found = [AppRequest(action="start", spec=each) for each in loaded.apps.values()]
    return app_requests.with_instances(found, count)


def _from_known(args: argparse.Namespace, client: Client) -> list[AppRequest]:
    """Return the requests for apps that are known here; none if the target names none."""
    if os.path.isfile(args.target) or not os.path.exists(client.home.state):
        return []
    names = selection.names_or_none(client, args.target)
    if not names:
        return []
    if args.like_pm2:
        args.changes = app_options.fields(args)
        if args.arguments:
            args.changes["args"] = args.arguments
        return app_requests.from_apps(client, names, "reload", args)
    found = app_requests.from_apps(client, names, "start", args)
    count = _count(app_options.fields(args).get("instances"))
    return app_requests.with_instances(found, count)


def _from_script(args: argparse.Namespace, client: Client) -> list[AppRequest]:
    declared: dict[str, Any] = {"script": args.target, **app_options.fields(args)}
    if args.arguments:
        declared["args"] = args.arguments
    if args.env:
        raise MisuseError("--env chooses within a PM2 file; a script has no env_NAME")
    try:
        loaded = load_script(declared, inherited(os.environ), like_pm2=args.like_pm2)
    except NotFoundError as error:
        raise NotFoundError(error.message, hint=error.hint or _what_else()) from None
    app_requests.print_warnings(loaded.warnings)
    if args.like_pm2:
        return [_beside(client, declared, loaded, again=args.again)]
    return [app_requests.first_start(each) for each in loaded.apps.values()]


def _what_else() -> str:
    """Return what to name in place of a target that is no app, file or program."""
    if found := [name for name in _DEFAULTS if os.path.isfile(name)]:
        return (
            f"`gapless start {found[0]}` starts the apps of that file, "
            "`gapless list` has the names of those that are known here"
        )
    return (
        "`gapless init` writes a gapless.toml, `gapless list` has the apps known here"
    )


def _beside(
    client: Client, declared: dict[str, Any], loaded: Configuration, *, again: bool
) -> AppRequest:
    """Return the request for a script of PM2, beside one that has its name.

    *again*: a second one is meant.  Raises MisuseError.
    """
    (name,) = loaded.apps
    known = app_requests.aliases(client)
    is_free = known.get(name, name) != name  # who had that name was renamed
    if is_free or name in app_requests.that_run(client):
        if not (again or is_free):
            raise MisuseError(
                f"{name}: an app of this name runs already",
                hint=f"`pm2 restart {name}` hands over to what the script is now; "
                "--force, or a --name of its own, starts a second one",
            )
        declared["name"] = next(
            other
            for number in itertools.count(2)
            if (other := f"{name}-{number}") not in known
        )
        output.print_error(f"names are unique: this one is {declared['name']}")
        second = load_script(declared, inherited(os.environ), like_pm2=True)
        (built,) = second.apps.values()
        return app_requests.first_start(replace(built, alias=name))
    return app_requests.first_start(loaded.apps[name])


def _count(given: str | None) -> int | None:
    if given is None:
        return None
    if not given.isdigit() or not int(given):
        raise MisuseError(f"cannot run {given} instances")
    return int(given)
