"""Send a signal to the leader of each instance of some apps."""

from __future__ import annotations

import argparse
import signal

from gapless.base.errors import DONE, MisuseError
from gapless.base.outside.text import counted
from gapless.cli import arguments, output, selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `signal`."""
    parser.add_argument(
        "signal",
        metavar="SIGNAL",
        help="its name, with or without SIG, or its number: SIGHUP, HUP, 1...",
    )
    arguments.add_apps(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Send the signal."""
    name = _name(args.signal)
    client = Client(starts=False)
    sent = {
        app: client.request("signal", app=app, signal=name)["signalled"]
        for app in selection.names(client, args.app)
    }
    if args.json:
        output.print_json(sent)
    else:
        for app, count in sent.items():
            print(f"{app}: {name} sent to {counted(count, 'instance')}")
    return DONE


def _name(word: str) -> str:
    """Return the name of a signal, also of its number.  Raises MisuseError."""
    known = signal.Signals.__members__
    names = [each for each, number in known.items() if str(int(number)) == word]
    name = (names or [f"SIG{word.upper().removeprefix('SIG')}"])[0]
    if name not in known:
        raise MisuseError(
            f"there is no signal {word[:40]!r}", hint="gapless signal HUP APP"
        )
    return name.removeprefix("SIG")
