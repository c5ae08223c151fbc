"""Print the environment of an app, a variable a line."""

from __future__ import annotations

import argparse

from gapless.cli import output, selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `env` understands."""
    selection.add(parser, several=False)


def run(asked: argparse.Namespace) -> int:
    """Print it."""
    client = Client()
    app = selection.one_name(client, asked.app)
    environment = client.request("describe", app=app)["spec"]["environment"]
    if asked.json:
        output.as_json(environment)
        return 0
    for name, value in sorted(environment.items()):
        print(f"{name}={value}")
    return 0
