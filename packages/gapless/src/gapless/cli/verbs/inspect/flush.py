"""Empty the log files of apps; the apps go on writing to them."""

from __future__ import annotations

import argparse
import os
import stat

from gapless.base.errors import DONE
from gapless.base.outside import reached_path
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
                _empty(path)
                emptied.append(path)
    if args.json:
        output.print_json({"emptied": emptied})
        return DONE
    for path in emptied:
        print(f"emptied {path}")
    return DONE


def _empty(path: str) -> None:
    """Empty a log, as the keeper writes it: through no link of another user.

    It is open for appending, so the next line is the first.  Raises OSError.
    """
    with reached_path.parent_of(path) as (directory, name):
        descriptor = reached_path.open_file(directory, name, os.O_WRONLY)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
