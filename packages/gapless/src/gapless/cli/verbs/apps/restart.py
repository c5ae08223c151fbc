"""Hand over to a new generation with the same configuration, without losing a request.

A directory that is a symlink is resolved again.
"""

from __future__ import annotations

import argparse

from gapless.cli import arguments, operations
from gapless.cli.verbs.apps import reload
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `restart`."""
    reload.add_shared_arguments(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Restart the apps."""
    client = Client()
    wanted = reload.requests_for(client, args, "restart")
    return operations.send_all(client, wanted, as_json=args.json, drops=args.drop)
