"""Empty the log files of apps; the apps go on writing to them."""

from __future__ import annotations

import argparse
import os

from gapless.base.errors import DONE
from gapless.cli import arguments, output, selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `flush`."""
    arguments.add_apps_or_all(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Empty the log files."""
    client = Client(starts=False)
    emptied = []
    for app in selection.names(client, args.app or ["all"]):
        for path in client.request("describe", app=app)["logs"]:
            if os.path.isfile(path):
                os.truncate(
                    path, 0
                )  # it is open for appending: the next line is the first
                emptied.append(path)
    if args.json:
        output.print_json({"emptied": emptied})
        return DONE
    for path in emptied:
        print(f"emptied {path}")
    return DONE
