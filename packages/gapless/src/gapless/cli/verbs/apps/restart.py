"""Hand over to a new generation of the same configuration: as safe as reload.

A directory that is a link is followed anew.
"""

from __future__ import annotations

import argparse

from gapless.cli import requests, selection
from gapless.cli.verbs.apps import reload
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `restart` understands."""
    selection.add(parser)
    reload.add_options(parser)


def run(asked: argparse.Namespace) -> int:
    """Restart what was asked for."""
    client = Client()
    wanted = reload.requests_for(client, asked, "restart")
    return requests.send(client, wanted, as_json=asked.json)
