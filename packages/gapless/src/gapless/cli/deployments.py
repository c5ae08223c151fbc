"""Publish or roll back: on this host, or on the hosts of a fleet."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gapless.base.errors import DONE, FAILED
from gapless.cli import configuration, fleets, output, progress
from gapless.client import Client
from gapless.deploy.deployment import Deployment
from gapless.releases.model import ReleaseSpec

if TYPE_CHECKING:
    from gapless.agent.publisher import FleetPublisher
    from gapless.rollout.model import Rollout


def carry_out(
    asked: argparse.Namespace,
    releases: ReleaseSpec,
    *,
    in_fleet: Callable[[FleetPublisher], Rollout],
    here: Callable[[Deployment], dict[str, Any]],
) -> int:
    """Do it where the configuration says; return the exit code.  Raises GaplessError."""
    declared = configuration.fleets(asked.config, releases.app)
    if releases.app in declared:
        return fleets.begin(declared[releases.app], asked, in_fleet)
    step = (lambda _: None) if asked.json else progress.show_step
    report = here(Deployment(Client(), releases, step))
    if asked.json:
        output.as_json(report)
        return DONE if report["outcome"] == "done" else FAILED
    return progress.show_report(report)
