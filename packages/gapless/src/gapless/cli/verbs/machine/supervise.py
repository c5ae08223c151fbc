"""Run the supervisor in the foreground: for systemd and for containers.

When it ends, the apps serve on; `gapless shutdown` ends them.
"""

from __future__ import annotations

import argparse
import os

from gapless.base import interpreter
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the supervisor is configured by GAPLESS_HOME."""
    _ = parser


def run(args: argparse.Namespace) -> int:
    """Replace this process by the supervisor, in an interpreter that imports little."""
    _ = args
    client = Client()
    client.make_home()
    argv = interpreter.python("gapless.supervisor.run", [client.home.path])
    os.execv(argv[0], argv)
