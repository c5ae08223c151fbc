"""Let apps finish what they began, and end them; they stay listed."""

from __future__ import annotations

import argparse

from gapless.cli import selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `stop` understands."""
    selection.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Stop what was asked for."""
    return selection.end(asked, "stop")
