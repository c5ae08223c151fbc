"""Go back to an earlier release: the one before, or the one that is named.

In a fleet that is a rollout like any other.
"""

from __future__ import annotations

import argparse

from gapless.base.errors import MisuseError
from gapless.cli import arguments, configuration
from gapless.cli.fleet import deployments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `rollback`."""
    parser.add_argument("app", metavar="APP", help="the NAME of [release.NAME]")
    parser.add_argument(
        "release",
        nargs="?",
        default="",
        metavar="RELEASE",
        help="a release that `gapless releases` lists; default: the one before",
    )
    parser.add_argument(
        "--to", default="", metavar="RELEASE", help="the same as RELEASE above"
    )
    arguments.add_rollout_wait(parser)
    arguments.add_config(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Roll back one app.  Raises MisuseError if two releases are named."""
    if args.to and args.release and args.to != args.release:
        raise MisuseError(
            f"{args.app}: {args.release} and --to {args.to}: which release?"
        )
    wanted = args.release or args.to
    releases = configuration.release(args.config, args.app)
    return deployments.run(
        args,
        releases,
        in_fleet=lambda publisher: publisher.rollback(wanted),
        on_host=lambda deployment: deployment.rollback(wanted),
    )
