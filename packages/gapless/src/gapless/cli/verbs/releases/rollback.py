"""Go back to an earlier release: the one before, or the one that is named.

In a fleet that is a rollout like any other.
"""

from __future__ import annotations

import argparse

from gapless.cli import configuration, deployments, fleets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `rollback` understands."""
    parser.add_argument("app", metavar="APP")
    parser.add_argument("release", nargs="?", default="", metavar="RELEASE")
    fleets.add(parser)
    configuration.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Roll back one app."""
    releases = configuration.one(asked.config, asked.app)
    return deployments.carry_out(
        asked,
        releases,
        in_fleet=lambda publisher: publisher.rollback(asked.release),
        here=lambda deployment: deployment.rollback(asked.release),
    )
