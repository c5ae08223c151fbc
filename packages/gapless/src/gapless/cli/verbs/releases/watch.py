"""Publish what is uploaded to the inboxes of all apps of a configuration.

Runs in the foreground, for systemd or as an app under gapless; --once is for cron.
SIGTERM lets it end after the current step.
"""

from __future__ import annotations

import argparse
import select
import signal

from gapless.base import wakeup
from gapless.base.errors import DONE, FAILED
from gapless.cli import arguments, configuration
from gapless.cli.fleet import trust_warnings
from gapless.cli.publisher.output import WatchOutput
from gapless.cli.publisher.watcher import POLL_S, Watcher
from gapless.releases.steps import commands


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `watch`."""
    parser.add_argument(
        "--once", action="store_true", help="publish what is complete now, then end"
    )
    arguments.add_config(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Watch the inboxes."""
    specs = configuration.releases(args.config)
    for spec in specs.values():
        commands.user_of(spec)  # raises before anything is watched
    declared = configuration.fleets(args.config)
    output = WatchOutput(as_json=args.json)
    watcher = Watcher(specs, declared, output)
    signals = wakeup.on((signal.SIGTERM, signal.SIGINT))
    if not args.json:
        inboxes = ", ".join(sorted({spec.inbox for spec in specs.values()}))
        output.line(f"watching {inboxes} for {', '.join(specs)}")
    for spec in specs.values():
        if why := trust_warnings.of_publisher(spec):
            output.line(f"warning: {why} (nothing of it can be published until then)")
    watcher.start(once=args.once)
    while watcher.is_running():
        if select.select([signals], [], [], POLL_S)[0]:
            signals.recv(64)
            if watcher.is_stopping():
                return FAILED  # the next publisher takes over what is not finished
            output.line("ending after the current step; a second signal ends at once")
            watcher.stop()
    return watcher.exit_code if args.once else DONE
