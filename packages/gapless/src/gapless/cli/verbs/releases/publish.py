"""Make a tarball the current release, and hand over to it.

A release that does not prove itself is not made current; the release of before serves on.
With a [rollout.NAME] in the configuration the hosts of the fleet follow, as its policy
says, and the command waits for the end of the rollout.
"""

from __future__ import annotations

import argparse
import os

from gapless.cli import arguments, configuration
from gapless.cli.fleet import deployments
from gapless.push.upload_outcome import KnownOutcomes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `publish`."""
    parser.add_argument("tarball", metavar="TARBALL", help="for example example.tar.gz")
    arguments.add_release_app(parser)
    arguments.add_rollout_wait(parser)
    arguments.add_config(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Publish one tarball."""
    releases = configuration.release_of_tarball(args.config, args.app, args.tarball)
    return deployments.run(
        args,
        releases,
        in_fleet=lambda publisher: publisher.publish(
            args.tarball,
            lambda rollout: KnownOutcomes(releases).begun(
                os.path.basename(args.tarball), rollout
            ),
        ),
        on_host=lambda deployment: deployment.publish(args.tarball),
    )
