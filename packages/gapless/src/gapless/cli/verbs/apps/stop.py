"""Let apps finish what they began, and end them; they stay listed."""

from __future__ import annotations

import argparse
from typing import Any

from gapless.cli import selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `stop` understands."""
    selection.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Stop what was asked for."""
    client = Client()
    apps = selection.names(client, asked.app, ends=True)

    def ask(app: str, hear: Any) -> dict[str, Any]:
        report: dict[str, Any] = client.request("stop", hear=hear, app=app)
        return report

    return selection.each(apps, ask, as_json=asked.json)
