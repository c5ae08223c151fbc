"""Keep the list of apps for `gapless resurrect`: which there are, and which run.

The supervisor remembers its apps by itself; this is for a list to come back to.
"""

from __future__ import annotations

import argparse

from gapless.base import files
from gapless.cli import output, selection
from gapless.client import Client

VERSION = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `save` understands."""
    selection.add_json(parser)


def run(asked: argparse.Namespace) -> int:
    """Keep the list."""
    client = Client()
    apps = []
    for row in client.request("list")["apps"]:
        described = client.request("describe", app=row["name"])
        running = row["status"] not in ("stopped", "stopping")
        apps.append({"spec": described["spec"], "running": running})
    # Environments hold secrets: nobody else may read the file (0600).
    files.write_json(client.home.dump, {"version": VERSION, "apps": apps})
    if asked.json:
        output.as_json({"saved": client.home.dump, "apps": len(apps)})
    else:
        print(f"saved {output.count(len(apps), 'app')} to {client.home.dump}")
    return 0
