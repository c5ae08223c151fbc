"""Print the log files of apps as they are; `-f` follows them, across rotations too.

On a terminal control characters are escaped, but for colours; --raw escapes nothing.
"""

from __future__ import annotations

import argparse
import time

from gapless.base.errors import DONE
from gapless.cli import arguments, selection
from gapless.cli.followed_log import FollowedLog
from gapless.client import Client

POLL_S = 0.1
LINES = 15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `logs`."""
    arguments.add_apps_or_all(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="print new lines as they come"
    )
    parser.add_argument(
        "-n",
        "--lines",
        type=int,
        default=LINES,
        metavar="N",
        help=f"how many of the last lines to print first (default: {LINES})",
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="print every byte as it is, also what steers the terminal",
    )


def run(args: argparse.Namespace) -> int:
    """Print logs."""
    client = Client(starts=False)
    apps = selection.names(client, args.app or ["all"])
    paths = dict.fromkeys(
        path for app in apps for path in client.request("describe", app=app)["logs"]
    )
    followed = [FollowedLog(path, is_raw=args.raw) for path in paths]
    for log in followed:
        if len(followed) > 1:
            print(f"==> {log.path} <==", flush=True)
        log.print_last(args.lines)
    while args.follow:
        grown = [log.print_new() for log in followed]
        if not any(grown):
            time.sleep(POLL_S)
    return DONE
