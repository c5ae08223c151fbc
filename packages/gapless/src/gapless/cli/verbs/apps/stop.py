"""Let apps finish what they began, and end them; they stay in the list."""

from __future__ import annotations

import argparse

from gapless.cli import arguments, operations


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `stop`."""
    arguments.add_apps(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Stop the apps."""
    return operations.end(args, "stop")
