"""Change the number of instances, until the next reload reads `instances` from the file.

Fewer is a handoff, so no accepted request is cut.
"""

from __future__ import annotations

import argparse

from gapless.base.errors import MisuseError
from gapless.cli import arguments, operations, selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `scale`."""
    arguments.add_app(parser)
    parser.add_argument(
        "instances", metavar="N", help="the number of instances; +N, -N: more, fewer"
    )
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Scale one app."""
    client = Client()
    app = selection.one_name(client, args.app)
    try:
        count = int(args.instances)
    except ValueError:
        raise MisuseError(
            f"{app}: {args.instances!r} is no number of instances",
            hint=f"gapless scale {app} 4; +1 and -1 are one more and one less",
        ) from None
    if args.instances[0] in "+-":
        rows = client.request("list")["apps"]
        count += next(r["instances"]["wanted"] for r in rows if r["name"] == app)
    return operations.request_all(
        client, [app], "scale", as_json=args.json, instances=count
    )
