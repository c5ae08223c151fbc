"""Validate a configuration, and tell what a reload would change."""

from __future__ import annotations

import argparse
import os

from gapless.base import codec
from gapless.cli import changes, output, requests, selection
from gapless.client import Client
from gapless.config.choice import Choice, inherited
from gapless.config.declarations import declaration_file
from gapless.config.refresh import refreshed
from gapless.supervisor.memory import spec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `check` understands."""
    parser.add_argument("file", nargs="?", default="gapless.toml", metavar="FILE")
    selection.add_json(parser)


def run(asked: argparse.Namespace) -> int:
    """Check a file."""
    loaded = declaration_file(asked.file).load(
        Choice(environment=inherited(os.environ))
    )
    requests.warn(loaded.warnings)
    client = Client()
    running: dict[str, spec.AppSpec] = {}
    if client.is_running():
        for row in client.request("list")["apps"]:
            if row["name"] in loaded.apps:
                plain = client.request("describe", app=row["name"])["spec"]
                running[row["name"]] = codec.decode(spec.AppSpec, plain)
    found = {}
    for app, now in running.items():
        wanted = loaded.apps[app]
        if now.config_file == loaded.path:
            wanted = refreshed(now)
        found[app] = changes.between(now, wanted)
    new = [app for app in loaded.apps if app not in running]
    if asked.json:
        output.as_json({"valid": True, "changes": found, "new": new})
        return 0
    print(
        f"{asked.file}: valid; apps: {', '.join(loaded.apps) or 'none'}; "
        f"releases: {', '.join(loaded.releases) or 'none'}"
    )
    changes.show(found)
    for app in new:
        print(f"{app}: does not run yet; `gapless start {asked.file}` starts it")
    return 0
