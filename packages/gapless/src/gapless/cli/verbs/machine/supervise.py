"""Run the supervisor in the foreground: for systemd and for containers.

When it ends, the apps serve on; `gapless shutdown` ends them.
"""

from __future__ import annotations

import argparse
import os
import sys

from gapless.base import interpreter
from gapless.base.errors import DONE, GaplessError
from gapless.cli import output
from gapless.client import Client
from gapless.supervisor.observe import instance_limits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `supervise`."""
    parser.add_argument(
        "--withdraw-limits",
        action="store_true",
        help="start nothing; let systemd start a supervisor again where apps have "
        "limits, for ExecStopPost",
    )


def run(args: argparse.Namespace) -> int:
    """Replace this process by the supervisor, in an interpreter that imports little."""
    if args.withdraw_limits:
        return _withdraw_limits()
    client = Client()
    client.make_home()
    if output.may_overwrite():
        output.print_line(
            f"the supervisor of {client.home.path} runs here; Ctrl-C ends it, and the apps "
            "serve on"
        )
        sys.stdout.flush()  # its end is not that of this program
    argv = interpreter.python("gapless.supervisor.run", [client.home.path])
    return os.execv(argv[0], argv)


def _withdraw_limits() -> int:
    try:
        instance_limits.withdraw()
    except OSError as error:
        raise GaplessError(
            f"could not take the controllers back: {error}",
            hint="the limits of apps are kept, and systemd may not start a supervisor",
        ) from error
    return DONE
