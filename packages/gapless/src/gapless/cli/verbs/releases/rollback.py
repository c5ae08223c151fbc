"""Go back to an earlier release: the one before, or the one that is named.

In a fleet that is a rollout like any other.
"""

from __future__ import annotations

import argparse

from gapless.cli import configuration, fleets, output, progress
from gapless.client import Client
from gapless.deploy import Deployment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `rollback` understands."""
    parser.add_argument("app", metavar="APP")
    parser.add_argument("release", nargs="?", default="", metavar="RELEASE")
    fleets.add(parser)
    configuration.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Roll back one app."""
    releases = configuration.one(asked.config, asked.app)
    declared = configuration.fleets(asked.config, asked.app)
    if asked.app in declared:
        return fleets.begin(
            declared[asked.app],
            asked,
            lambda publisher: publisher.rollback(asked.release),
        )
    hear = (lambda _: None) if asked.json else progress.tell
    report = Deployment(Client(), releases, hear).rollback(asked.release)
    if asked.json:
        output.as_json(report)
        return 0 if report["outcome"] == "done" else 1
    return progress.end(report)
