"""Empty the logs of apps; what is printed from now on is kept."""

from __future__ import annotations

import argparse
import os

from gapless.cli import output, selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `flush` understands."""
    parser.add_argument("app", metavar="APP", nargs="*", help="names; none means all")
    selection.add_json(parser)


def run(asked: argparse.Namespace) -> int:
    """Empty them."""
    client = Client()
    emptied = []
    for app in selection.names(client, asked.app or ["all"]):
        for path in client.request("describe", app=app)["logs"]:
            if os.path.isfile(path):
                os.truncate(path, 0)  # its writers append: they go on at the beginning
                emptied.append(path)
    if asked.json:
        output.as_json({"emptied": emptied})
        return 0
    for path in emptied:
        print(f"emptied {path}")
    return 0
