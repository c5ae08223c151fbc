"""Run a command in the directory and with the environment of an app's instances."""

from __future__ import annotations

import argparse
import os

from gapless.base.errors import MisuseError, NotFoundError
from gapless.cli import arguments, selection
from gapless.client import Client

REST = "command"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run`."""
    arguments.add_app(parser)
    parser.set_defaults(command=[])
    parser.usage = "%(prog)s APP -- CMD [ARG ...]"


def run(args: argparse.Namespace) -> int:
    """Replace this process by the command."""
    command = args.command
    if not command:
        raise MisuseError("there is no command", hint="gapless run APP -- CMD ARG...")
    client = Client(starts=False)
    app = selection.one_name(client, args.app)
    described = client.request("describe", app=app)
    serving = [
        g for g in described["generations"] if g["role"] in ("serving", "proving")
    ]
    directory = serving[-1]["directory"] if serving else described["spec"]["directory"]
    environment = described["spec"]["environment"] | {"GAPLESS_APP": app}
    try:
        os.chdir(directory)
        os.execvpe(command[0], command, environment)
    except FileNotFoundError:
        raise NotFoundError(
            f"{app}: could not run {command[0]!r} in {directory}: no such program"
        ) from None
    except OSError as error:
        raise MisuseError(
            f"{app}: could not run {command[0]}: {error.strerror}"
        ) from error
