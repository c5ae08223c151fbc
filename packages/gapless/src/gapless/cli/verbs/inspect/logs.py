"""What apps print, as it was written; `-f` follows, across rotations too."""

from __future__ import annotations

import argparse
import time

from gapless.cli import selection
from gapless.cli.followed_log import Followed
from gapless.client import Client

POLL_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `logs` understands."""
    parser.add_argument("app", metavar="APP", nargs="*", help="names; none means all")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    parser.add_argument(
        "-n",
        "--lines",
        type=int,
        default=15,
        metavar="N",
        help="how many lines of before",
    )


def run(asked: argparse.Namespace) -> int:
    """Print logs."""
    client = Client()
    apps = selection.names(client, asked.app or ["all"])
    paths = dict.fromkeys(
        path for app in apps for path in client.request("describe", app=app)["logs"]
    )
    followed = [Followed(path) for path in paths]
    for file in followed:
        if len(followed) > 1:
            print(f"==> {file.path} <==", flush=True)
        file.print_last(asked.lines)
    while asked.follow:
        moved = [file.print_new() for file in followed]
        if not any(moved):
            time.sleep(POLL_S)
    return 0
