"""Publish or roll back: on this host, or on the hosts of a fleet."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gapless.cli import configuration, output
from gapless.cli.display import reports
from gapless.cli.fleet import rollout_run
from gapless.cli.progress import choice
from gapless.client import Client
from gapless.deploy.deployment import Deployment
from gapless.push.upload_outcome import KnownOutcomes
from gapless.releases.model import ReleaseSpec
from gapless.releases.steps import commands

if TYPE_CHECKING:
    from gapless.agent.publisher import FleetPublisher
    from gapless.rollout.model import Rollout


def run(
    args: argparse.Namespace,
    releases: ReleaseSpec,
    *,
    in_fleet: Callable[[FleetPublisher], Rollout],
    on_host: Callable[[Deployment], dict[str, Any]],
) -> int:
    """Call *in_fleet* if the app has a fleet, else *on_host*; return the exit code.

    Raises GaplessError.
    """
    commands.user_of(releases)  # raises before anything has begun
    _outlive_terminal()
    declared = configuration.fleets(args.config, releases.app)
    if releases.app in declared:
        return rollout_run.begin(declared[releases.app], args, in_fleet)
    known, client = KnownOutcomes(releases), Client()
    with choice.shown([releases.app], as_json=args.json, client=client) as shown:
        report = on_host(Deployment(client, releases, shown.step, known.end))
    with output.unread_is_no_failure():
        if args.json:
            output.print_json(report)
        else:
            reports.print_report(report)
    return reports.exit_code(report)


def _outlive_terminal() -> None:
    """Go on when the terminal closes: an app half handed over waits for the next command.

    A handler, and not SIG_IGN, which programs that are started would inherit.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
