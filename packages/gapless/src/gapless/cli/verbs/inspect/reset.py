"""Count the restarts of apps from zero."""

from __future__ import annotations

import argparse

from gapless.cli import output, selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `reset` understands."""
    selection.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Reset the counters."""
    client = Client()
    names = selection.names(client, asked.app)
    for app in names:
        client.request("reset", app=app)
    if asked.json:
        output.as_json({"reset": names})
        return 0
    for app in names:
        print(f"{app}: restarts are counted from zero")
    return 0
