"""Show the apps of this host live: what they use, releases as they happen, their logs.

Keys change them: r reloads, t starts, s stops, c scales, b goes back to the release before,
h holds the rollout of a fleet.  A question comes before each.
"""

from __future__ import annotations

import argparse
import importlib.util

from gapless.base.errors import DONE, MisuseError, UnavailableError
from gapless.cli import arguments, output
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `top`."""
    arguments.add_config(parser, table="rollout")


def run(args: argparse.Namespace) -> int:
    """Show the screen until somebody closes it."""
    if not output.may_overwrite():
        raise MisuseError(
            "top: standard output is no terminal that can be overwritten",
            hint="`gapless list` prints the same once",
        )
    if importlib.util.find_spec("textual") is None:
        raise UnavailableError(
            "top: the package textual is not installed",
            hint="install gapless with its extra `screen`: gapless[screen]",
        )
    from gapless.cli.tui.screen import TopScreen  # noqa: PLC0415 - loads textual

    TopScreen(Client(starts=False), args.config).run()
    return DONE
