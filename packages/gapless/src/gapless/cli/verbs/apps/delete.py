"""Stop apps and remove them from the list."""

from __future__ import annotations

import argparse

from gapless.cli import arguments, operations


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `delete`."""
    arguments.add_apps(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Delete the apps."""
    return operations.end(args, "delete")
