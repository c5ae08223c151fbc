"""The releases of an app, oldest first."""

from __future__ import annotations

import argparse

from gapless.cli import configuration, output
from gapless.releases import current


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `releases` understands."""
    parser.add_argument("app", metavar="APP")
    configuration.add(parser)


def run(asked: argparse.Namespace) -> int:
    """List releases."""
    found = current.releases(configuration.one(asked.config, asked.app))
    if asked.json:
        output.as_json(
            [
                {
                    "release": r.name,
                    "path": r.path,
                    "current": r.is_current,
                    "failure": r.failure or None,
                }
                for r in found
            ]
        )
        return 0
    if not found:
        print(f"{asked.app} has no release yet; `gapless publish TARBALL` makes one")
        return 0
    rows = [
        [r.name, "current" if r.is_current else "failed" if r.failure else "", r.path]
        for r in found
    ]
    output.table(["release", "state", "directory"], rows)
    for release in found:
        if release.failure:
            print(f"{release.name} failed: {release.failure.splitlines()[0]}")
    return 0
