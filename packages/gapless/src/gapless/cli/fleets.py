"""What commands about fleets share: begin a rollout, follow it to its end, show it."""

from __future__ import annotations

import argparse
import dataclasses
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gapless.base import clock
from gapless.base.errors import DONE, FAILED, TimedOutError, UnavailableError
from gapless.cli import output
from gapless.rollout.model import ENDED, HostReport, Rollout, State

if TYPE_CHECKING:
    from gapless.agent.publisher import FleetPublisher
    from gapless.config.toml.fleets import Fleet
    from gapless.rollout.store import FleetStore

LOOK_S = 0.5


def add(parser: argparse.ArgumentParser) -> None:
    """Add how long a command waits for a rollout."""
    parser.add_argument(
        "--no-wait", action="store_true", help="of a fleet: do not wait for the rollout"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="of a fleet: how long to wait (3600); the rollout goes on",
    )


def complain(text: str) -> None:
    """Name what cannot be trusted."""
    output.complain(text)


def publisher(fleet: Fleet, *, quiet: bool) -> FleetPublisher:
    """Return who publishes to a fleet, and tells each step unless *quiet*."""
    app, began = fleet.release.app, clock.monotonic()

    def tell(step: str, detail: str) -> None:
        if not quiet:
            print(
                f"{app} {step}: {detail} ({clock.monotonic() - began:.2f} s)",
                flush=True,
            )

    return opened(fleet, tell)[0]


def opened(
    fleet: Fleet, tell: Callable[[str, str], None]
) -> tuple[FleetPublisher, FleetStore]:
    """Return who publishes to a fleet and tells *tell*, and what the fleet knows."""
    from gapless.agent import publisher  # noqa: PLC0415 - loads TLS
    from gapless.agent.open_store import open_store  # noqa: PLC0415 - the same

    store = open_store(fleet, complain)
    return publisher.FleetPublisher(fleet, store, tell), store


def begin(
    fleet: Fleet, asked: argparse.Namespace, act: Callable[[FleetPublisher], Rollout]
) -> int:
    """Begin a rollout, wait for its end, and do what the end asks for."""
    from gapless.agent.open_store import open_store  # noqa: PLC0415 - loads TLS

    own = publisher(fleet, quiet=asked.json)
    rollout = act(own)
    if asked.no_wait:
        if asked.json:
            output.as_json(as_data(rollout))
        return DONE
    store = open_store(fleet, complain)
    tell = (lambda _: None) if asked.json else tell_host
    ended = follow(store, rollout.number, asked.timeout, tell)
    own.finalize()  # or whoever watches did it before
    tell_end(ended, as_json=asked.json, reports=store.hosts.all())
    return code(ended) if ended.number == rollout.number else FAILED


def follow(
    store: FleetStore, number: int, timeout_s: float, tell: Callable[[HostReport], None]
) -> Rollout:
    """*tell* what each host does until a rollout has come to an end; return it.

    A coordinator that is away is waited for.  Raises TimedOutError.  One that another took
    the place of has come to its end, too.
    """
    until, said, trouble = clock.monotonic() + timeout_s, dict[str, str](), ""
    while True:
        rollout = None
        try:
            rollout, _ = store.rollout()
            reports, now = store.hosts.all(), ""
        except UnavailableError as error:
            reports, now = {}, error.message
        if now and now != trouble:
            complain(f"{now}; the rollout goes on when it can")
        trouble = now
        for report in reports.values():
            line = host_line(report)
            if report.turn[0] == number and said.get(report.host) != line:
                said[report.host] = line
                tell(report)
        if rollout is not None and (rollout.number != number or rollout.state in ENDED):
            return rollout
        if clock.monotonic() >= until:
            raise TimedOutError(
                f"rollout {number} is not at its end after {timeout_s:g} s",
                hint="it goes on; `gapless rollout status` shows it",
            )
        select.select([], [], [], LOOK_S)


def tell_host(report: HostReport) -> None:
    """Print what a host does now."""
    print(f"  {host_line(report)}", flush=True)


def host_line(report: HostReport) -> str:
    """Return what a host does, in a line."""
    why = f": {report.reason}" if report.reason else ""
    return (
        f"{report.host} {report.phase.value} ({report.release or 'nothing'} runs){why}"
    )


def tell_end(
    rollout: Rollout, *, as_json: bool, reports: dict[str, HostReport] | None = None
) -> None:
    """Print how a rollout ended."""
    if as_json:
        output.as_json(as_data(rollout, reports))
        return
    colour = "green" if rollout.state is State.DONE else "red"
    why = f": {rollout.reason}" if rollout.reason else ""
    line = f"{rollout.app}: rollout {rollout.number} to {rollout.release} "
    print(output.paint(f"{line}{rollout.state.value}{why}", colour), flush=True)
    if rollout.state in (State.HELD, State.STUCK):
        print(
            f"  `gapless rollout resume {rollout.app}` tries again, "
            f"`gapless rollout abort {rollout.app}` goes back"
        )


def code(rollout: Rollout) -> int:
    """Return the exit code that the end of a rollout means."""
    return DONE if rollout.state is State.DONE else FAILED


def as_data(
    rollout: Rollout, reports: dict[str, HostReport] | None = None
) -> dict[str, Any]:
    """Return a rollout, and its hosts, for machines."""
    plain = dataclasses.asdict(rollout) | {
        "state": rollout.state.value,
        "target": rollout.target,
    }
    if reports is not None:
        plain["hosts"] = hosts_as_data(reports)
    return plain


def hosts_as_data(reports: dict[str, HostReport]) -> list[dict[str, Any]]:
    """Return what hosts say, for machines."""
    return [host_as_data(each) for each in reports.values()]


def host_as_data(report: HostReport) -> dict[str, Any]:
    """Return what a host says, for machines."""
    return dataclasses.asdict(report) | {"phase": report.phase.value}
