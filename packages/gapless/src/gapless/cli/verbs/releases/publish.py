"""Make a tarball the current release, and hand over to it.

A release that does not prove itself is not made current; what ran before runs on.  With a
[rollout.NAME] in the configuration the hosts of the fleet follow, as the policy says, and
the command waits for how that ends.
"""

from __future__ import annotations

import argparse

from gapless.cli import configuration, fleets, output, progress
from gapless.client import Client
from gapless.deploy import Deployment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `publish` understands."""
    parser.add_argument("tarball", metavar="TARBALL", help="for example example.tar.gz")
    parser.add_argument("--app", default="", metavar="NAME", help="whose release it is")
    fleets.add(parser)
    configuration.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Publish one tarball."""
    releases = configuration.of_tarball(asked.config, asked.app, asked.tarball)
    declared = configuration.fleets(asked.config, releases.app)
    if releases.app in declared:
        return fleets.begin(
            declared[releases.app],
            asked,
            lambda publisher: publisher.publish(asked.tarball),
        )
    hear = (lambda _: None) if asked.json else progress.tell
    report = Deployment(Client(), releases, hear).publish(asked.tarball)
    if asked.json:
        output.as_json(report)
        return 0 if report["outcome"] == "done" else 1
    return progress.end(report)
