"""Send a signal to the instances of apps: to each one's leader."""

from __future__ import annotations

import argparse

from gapless.cli import output, selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `signal` understands."""
    parser.add_argument(
        "signal", metavar="SIGNAL", help="as in kill -l: SIGHUP, HUP..."
    )
    selection.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Send the signal."""
    client = Client()
    sent = {
        app: client.request("signal", app=app, signal=asked.signal)["signalled"]
        for app in selection.names(client, asked.app)
    }
    if asked.json:
        output.as_json(sent)
    else:
        for app, count in sent.items():
            print(f"{app}: {asked.signal} sent to {count} instances")
    return 0
