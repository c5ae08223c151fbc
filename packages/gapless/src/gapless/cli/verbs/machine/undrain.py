"""Put this host back into service, after `gapless drain`."""

from __future__ import annotations

import argparse

from gapless.base.errors import DONE, GaplessError
from gapless.cli import arguments, output
from gapless.cli.fleet import drain_rights
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `undrain`."""
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Serve again, and give back the right to drain in every fleet."""
    client = Client()
    found = client.request("undrain")
    _give_back(client)
    if args.json:
        output.print_json(found)
    else:
        names = ", ".join(row["name"] for row in found["apps"]) or "no apps here"
        print(f"this host serves again: {names}")
    return DONE


def _give_back(client: Client) -> None:
    try:
        for each in drain_rights.rights(client, output.print_nothing):
            each.give_back()
    except GaplessError as error:
        output.print_error(
            f"the other hosts are not told yet that it serves: {error.message}; "
            "its agent does that within minutes"
        )
