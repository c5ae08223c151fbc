"""Stop apps and forget them."""

from __future__ import annotations

import argparse
from typing import Any

from gapless.cli import selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `delete` understands."""
    selection.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Delete what was asked for."""
    client = Client()
    apps = selection.names(client, asked.app, ends=True)

    def ask(app: str, hear: Any) -> dict[str, Any]:
        report: dict[str, Any] = client.request("delete", hear=hear, app=app)
        return report

    return selection.each(apps, ask, as_json=asked.json)
