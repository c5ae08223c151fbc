"""Stop every app, then the supervisor; they come back with `gapless start APP`."""

from __future__ import annotations

import argparse

from gapless.cli import output
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `shutdown` understands."""
    parser.add_argument("--json", action="store_true", help="the same for machines")


def run(asked: argparse.Namespace) -> int:
    """Shut down."""
    client = Client()
    # Of a supervisor that died the keeper has the apps: the next one ends them.
    was_running = client.is_running() or client.has_keeper()
    if was_running:
        client.request("shutdown")
    if asked.json:
        output.as_json({"shut_down": was_running})
    else:
        print("shut down" if was_running else "no supervisor runs here")
    return 0
