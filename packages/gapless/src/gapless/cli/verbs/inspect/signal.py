"""Send a signal to the leader of each instance of some apps."""

from __future__ import annotations

import argparse

from gapless.base.errors import DONE
from gapless.cli import arguments, output, selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `signal`."""
    parser.add_argument(
        "signal", metavar="SIGNAL", help="its name, with or without SIG: SIGHUP, HUP..."
    )
    arguments.add_apps(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Send the signal."""
    client = Client(starts=False)
    sent = {
        app: client.request("signal", app=app, signal=args.signal)["signalled"]
        for app in selection.names(client, args.app)
    }
    if args.json:
        output.print_json(sent)
    else:
        for app, count in sent.items():
            print(f"{app}: {args.signal} sent to {count} instances")
    return DONE
