"""Be the supervisor, in the foreground: for systemd and for containers.

When it ends, the apps serve on; `gapless shutdown` ends them.
"""

from __future__ import annotations

import argparse
import os

from gapless.base import interpreter as supervisor
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: everything is in GAPLESS_HOME."""
    _ = parser


def run(asked: argparse.Namespace) -> int:
    """Become the supervisor, in an interpreter that starts light."""
    _ = asked
    client = Client()
    client.make_home()
    argv = supervisor.python("gapless.supervisor.run", [client.home.path])
    os.execv(argv[0], argv)
