"""Stop every app, then the supervisor.

The apps come back when the supervisor starts again (`systemctl start`, a boot), or with
`gapless start APP`.  What shall stay stopped is stopped first: `gapless stop APP`.
"""

from __future__ import annotations

import argparse
import os
import subprocess

from gapless.base.errors import DONE
from gapless.cli import arguments, output
from gapless.client import Client

SYSTEMCTL_S = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `shutdown`."""
    parser.add_argument(
        "--if-stopped",
        default="",
        metavar="UNIT",
        help="only if systemd stops UNIT, for its ExecStop: when it is restarted, or its "
        "supervisor has crashed, the apps serve on",
    )
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Shut down."""
    if args.if_stopped and not is_stopped(args.if_stopped, _jobs(args.if_stopped)):
        output.print_error(
            f"systemd does not stop {args.if_stopped}: the apps serve on"
        )
        return DONE
    client = Client()
    # If the supervisor has died, the keeper holds the apps: a new supervisor ends them.
    was_running = client.lives()
    if was_running:
        client.request("shutdown")
    if args.json:
        output.print_json({"shut_down": was_running})
    else:
        print(
            "shut down; the apps come back with the supervisor (systemctl start, a boot), "
            "or with `gapless start APP`"
            if was_running
            else "no supervisor runs here"
        )
    return DONE


def is_stopped(unit: str, jobs: str) -> bool:
    """Return whether a unit is being stopped for good, by what `systemctl list-jobs` says.

    In the first half of a restart its job is a `restart`; there is none after a crash.
    """
    rows = [line.split() for line in jobs.splitlines()]
    return any(row[1:3] == [unit, "stop"] for row in rows)


def _jobs(unit: str) -> str:
    """Return the jobs of a unit; empty, after a complaint, if systemd does not answer."""
    manager = ["--user"] if "MANAGERPID" in os.environ else []  # systemd.exec(5)
    words = ["systemctl", *manager, "list-jobs", "--no-legend", "--plain", "--", unit]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=SYSTEMCTL_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        output.print_error(f"could not ask systemd: {error}")
        return ""
    if done.returncode:
        output.print_error(f"could not ask systemd: {done.stderr.strip()}")
    return done.stdout
