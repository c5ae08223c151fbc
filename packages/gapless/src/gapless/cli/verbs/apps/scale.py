"""Run more or fewer instances; fewer is a handoff, so no accepted request is cut."""

from __future__ import annotations

import argparse
from typing import Any

from gapless.base.errors import MisuseError
from gapless.cli import selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `scale` understands."""
    parser.add_argument("app", metavar="APP", help="the name of an app")
    parser.add_argument("instances", metavar="N", help="how many; +N and -N also work")
    selection.add_json(parser)


def run(asked: argparse.Namespace) -> int:
    """Scale what was asked for."""
    client = Client()
    app = selection.one_name(client, asked.app)
    try:
        count = int(asked.instances)
    except ValueError:
        raise MisuseError(f"{asked.instances!r} is no number of instances") from None
    if asked.instances[0] in "+-":
        rows = client.request("list")["apps"]
        count += next(r["instances"]["wanted"] for r in rows if r["name"] == app)

    def ask(name: str, hear: Any) -> dict[str, Any]:
        report: dict[str, Any] = client.request(
            "scale", on_event=hear, app=name, instances=count
        )
        return report

    return selection.each([app], ask, as_json=asked.json)
