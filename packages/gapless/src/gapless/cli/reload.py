"""Hand over to a new generation, with the configuration as its file has it now."""

from __future__ import annotations

import argparse
import os
from typing import Any

from gapless import deploy
from gapless.cli import changes, selection, show
from gapless.client import Client
from gapless.config import resolve
from gapless.supervisor import spec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `reload` understands."""
    selection.add(parser)
    parser.add_argument(
        "--update-env", action="store_true", help="take over this shell's environment"
    )
    parser.add_argument(
        "--recycle",
        action="store_true",
        help="one instance ends before the next one starts, in place of a handoff",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only tell what would change"
    )


def run(asked: argparse.Namespace) -> int:
    """Reload what was asked for."""
    client = Client()
    apps = selection.names(client, asked.app)
    running = {app: _running(client, app) for app in apps}
    environment = resolve.inherited(os.environ) if asked.update_env else None
    wanted = {
        app: deploy.refreshed(running[app], environment=environment) for app in apps
    }
    if asked.dry_run:
        found = {app: changes.between(running[app], wanted[app]) for app in apps}
        if asked.json:
            show.as_json(found)
        else:
            changes.tell(found)
        return 0

    def ask(app: str, hear: Any) -> dict[str, Any]:
        plain = spec.to_wire(wanted[app])
        report: dict[str, Any] = client.request(
            "reload", hear=hear, app=app, spec=plain, recycle=asked.recycle
        )
        return report

    return selection.each(apps, ask, as_json=asked.json)


def _running(client: Client, app: str) -> spec.AppSpec:
    return spec.from_wire(client.request("describe", app=app)["spec"])
