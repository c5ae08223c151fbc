"""Hand over to a new generation of the same configuration: as safe as reload."""

from __future__ import annotations

import argparse
from typing import Any

from gapless.cli import selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `restart` understands."""
    selection.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Restart what was asked for."""
    client = Client()
    apps = selection.names(client, asked.app)

    def ask(app: str, hear: Any) -> dict[str, Any]:
        report: dict[str, Any] = client.request("restart", hear=hear, app=app)
        return report

    return selection.each(apps, ask, as_json=asked.json)
