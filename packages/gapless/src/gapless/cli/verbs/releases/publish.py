"""Make a tarball the current release, and hand over to it.

A release that does not prove itself is not made current; what ran before runs on.  With a
[rollout.NAME] in the configuration the hosts of the fleet follow, as the policy says, and
the command waits for how that ends.
"""

from __future__ import annotations

import argparse

from gapless.cli import configuration, deployments, fleets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `publish` understands."""
    parser.add_argument("tarball", metavar="TARBALL", help="for example example.tar.gz")
    parser.add_argument("--app", default="", metavar="NAME", help="whose release it is")
    fleets.add(parser)
    configuration.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Publish one tarball."""
    releases = configuration.of_tarball(asked.config, asked.app, asked.tarball)
    return deployments.carry_out(
        asked,
        releases,
        in_fleet=lambda publisher: publisher.publish(asked.tarball),
        here=lambda deployment: deployment.publish(asked.tarball),
    )
