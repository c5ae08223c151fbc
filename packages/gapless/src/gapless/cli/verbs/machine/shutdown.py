"""Stop every app, then the supervisor; `gapless start APP` starts both again."""

from __future__ import annotations

import argparse

from gapless.base.errors import DONE
from gapless.cli import arguments, output
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `shutdown`."""
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Shut down."""
    client = Client()
    # If the supervisor has died, the keeper holds the apps: a new supervisor ends them.
    was_running = client.is_running() or client.has_keeper()
    if was_running:
        client.request("shutdown")
    if args.json:
        output.print_json({"shut_down": was_running})
    else:
        print("shut down" if was_running else "no supervisor runs here")
    return DONE
