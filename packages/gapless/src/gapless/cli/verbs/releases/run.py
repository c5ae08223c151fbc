"""Run a command as an app's instances are run.

As the app's user, in its directory, with its environment and its umask.
"""

from __future__ import annotations

import argparse
import os

from gapless.base import codec
from gapless.base.errors import (
    GaplessError,
    MisuseError,
    NotFoundError,
    UnavailableError,
)
from gapless.cli import arguments, selection
from gapless.client import Client
from gapless.keeper import identity
from gapless.supervisor.act import environment
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.observe import environment_files

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
    wanted = codec.decode(AppSpec, described["spec"])
    directory = serving[-1]["directory"] if serving else wanted.directory
    variables = _become(wanted, directory)
    try:
        os.chdir(directory)
        os.execvpe(command[0], command, variables)
    except FileNotFoundError:
        raise NotFoundError(
            f"{app}: could not run {command[0]!r} in {directory}: no such program"
        ) from None
    except OSError as error:
        raise MisuseError(
            f"{app}: could not run {command[0]}: {error.strerror}"
        ) from error


def _become(wanted: AppSpec, directory: str) -> dict[str, str]:
    """Become the user of an app; return its environment.  Raises GaplessError."""
    app = wanted.name
    try:
        who = identity.find(wanted.user, wanted.group)
    except LookupError:
        raise MisuseError(
            f"{app}: there is no user or group {wanted.user} {wanted.group}".rstrip()
        ) from None
    try:
        from_files = environment_files.read(
            wanted.environment_files, directory, user=wanted.user, group=wanted.group
        )
    except GaplessError as error:
        raise type(error)(f"{app}: {error.message}") from error
    names = environment.of_its_user(wanted, from_files)
    try:
        who.assume()
    except PermissionError:
        user = wanted.user or f"the group {wanted.group}"
        raise UnavailableError(
            f"{app}: could not become {user}: only root may", hint="use sudo"
        ) from None
    os.umask(int(wanted.umask or environment.UMASK, 8))
    own = identity.of_user(who.variables, names)
    found = environment.configured(wanted, from_files)
    return found | own | {"GAPLESS_APP": app}
