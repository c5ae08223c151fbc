"""Stop apps and forget them."""

from __future__ import annotations

import argparse

from gapless.cli import selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `delete` understands."""
    selection.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Delete what was asked for."""
    return selection.end(asked, "delete")
