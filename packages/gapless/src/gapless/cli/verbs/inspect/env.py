"""Print the environment of an app, one variable per line.

Not the variables of its environment files, which are read when an instance starts.
"""

from __future__ import annotations

import argparse

from gapless.base.errors import DONE
from gapless.cli import arguments, output, selection
from gapless.cli.display.secrets import shown
from gapless.client import Client

DATA = True
"""What it prints is the content of a file, or a value: a pipe gets it unchanged."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `env`."""
    arguments.add_app(parser)
    arguments.add_json(parser)
    arguments.add_show_secrets(parser)


def run(args: argparse.Namespace) -> int:
    """Print the environment."""
    client = Client(starts=False)
    app = selection.one_name(client, args.app)
    environment = shown(args, client.request("describe", app=app))["spec"][
        "environment"
    ]
    if args.json:
        output.print_json(environment)
        return DONE
    for name, value in sorted(environment.items()):
        print(f"{name}={value}")
    return DONE
