"""Let this host serve again, after `gapless drain`."""

from __future__ import annotations

import argparse

from gapless.cli import show
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `undrain` understands."""
    parser.add_argument("--json", action="store_true", help="the same for machines")


def run(asked: argparse.Namespace) -> int:
    """Go back to serving."""
    found = Client().request("undrain")
    if asked.json:
        show.as_json(found)
    else:
        names = ", ".join(row["name"] for row in found["apps"]) or "no apps here"
        print(f"this host serves again: {names}")
    return 0
