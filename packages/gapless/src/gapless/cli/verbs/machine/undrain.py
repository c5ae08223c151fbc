"""Let this host serve again, after `gapless drain`."""

from __future__ import annotations

import argparse

from gapless.base.errors import GaplessError
from gapless.cli import output
from gapless.cli.verbs.machine import drain
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `undrain` understands."""
    parser.add_argument("--json", action="store_true", help="the same for machines")


def run(asked: argparse.Namespace) -> int:
    """Go back to serving; the others of a fleet may count on this host again."""
    client = Client()
    found = client.request("undrain")
    _come_back(client)
    if asked.json:
        output.as_json(found)
    else:
        names = ", ".join(row["name"] for row in found["apps"]) or "no apps here"
        print(f"this host serves again: {names}")
    return 0


def _come_back(client: Client) -> None:
    try:
        for each in drain.departures(client, quiet=True):
            each.give_back()
    except GaplessError as error:
        output.complain(
            f"the others are not told yet that it serves: {error.message}; "
            "its agent does that within minutes"
        )
