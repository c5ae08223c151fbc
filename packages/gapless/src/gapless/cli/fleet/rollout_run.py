"""Begin a rollout, and follow it to its end."""

from __future__ import annotations

import argparse
import select
from collections.abc import Callable
from typing import TYPE_CHECKING

from gapless.base import clock
from gapless.base.errors import DONE, FAILED, TimedOutError, UnavailableError
from gapless.cli import output
from gapless.cli.display import rollouts
from gapless.cli.progress import choice
from gapless.rollout.model import ENDED, HostReport, Rollout

if TYPE_CHECKING:
    from gapless.agent.publisher import FleetPublisher
    from gapless.config.toml.fleets import Fleet
    from gapless.rollout.store import FleetStore

POLL_S = 0.5


def open_fleet(
    fleet: Fleet, progress: Callable[[str, str], None]
) -> tuple[FleetPublisher, FleetStore]:
    """Return the publisher and the store of a fleet.

    *progress* is called with the name and the detail of each step of a publish.
    """
    from gapless.agent import publisher  # noqa: PLC0415 - loads TLS
    from gapless.agent.open_store import open_store  # noqa: PLC0415 - the same

    store = open_store(fleet, output.print_error)
    return publisher.FleetPublisher(fleet, store, progress), store


def begin(
    fleet: Fleet, args: argparse.Namespace, act: Callable[[FleetPublisher], Rollout]
) -> int:
    """Begin a rollout with *act*, wait for its end, and finalize it.

    Returns the exit code.  Raises GaplessError.
    """
    began = clock.monotonic()
    with choice.shown([fleet.release.app], as_json=args.json) as shown:

        def take_step(step: str, detail: str) -> None:
            event = {"step": step, "detail": detail, "at_s": clock.monotonic() - began}
            shown.step({"app": fleet.release.app, **event})

        publisher, store = open_fleet(fleet, take_step)
        rollout = act(publisher)
        ended: Rollout | None = None
        if not args.no_wait:
            ended = follow(store, rollout.number, args.timeout, shown.host)
            publisher.finalize_after_wait()  # `gapless watch` may have done it before
    if ended is None:
        if args.json:
            output.print_json(rollouts.rollout_json(rollout))
        return DONE
    rollouts.print_end(ended, as_json=args.json, reports=store.hosts.all())
    return rollouts.exit_code(ended) if ended.number == rollout.number else FAILED


def follow(
    store: FleetStore,
    number: int,
    timeout_s: float,
    changed: Callable[[HostReport], None],
) -> Rollout:
    """Wait until a rollout has ended, or another has superseded it; return that one.

    *changed* is called with the report of a host each time that its line changes.  A
    coordinator that does not answer is asked again.  Raises TimedOutError.
    """
    until, lines, trouble = clock.monotonic() + timeout_s, dict[str, str](), ""
    while True:
        rollout = None
        try:
            rollout, _ = store.rollout()
            reports, now = store.hosts.all(), ""
        except UnavailableError as error:
            reports, now = {}, error.message
        if now and now != trouble:
            output.print_error(f"{now}; the rollout goes on when it answers again")
        trouble = now
        for report in reports.values():
            line = rollouts.host_line(report)
            if report.turn[0] == number and lines.get(report.host) != line:
                lines[report.host] = line
                changed(report)
        if rollout is not None and (rollout.number != number or rollout.state in ENDED):
            return rollout
        if clock.monotonic() >= until:
            raise TimedOutError(
                f"rollout {number} has not ended after {timeout_s:g} s",
                hint=f"it goes on; `gapless rollout status {store.app}` shows its state",
            )
        select.select([], [], [], POLL_S)
