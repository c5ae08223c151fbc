"""A rollout and the hosts of its fleet: as lines, as a table, as JSON."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from gapless.base import clock
from gapless.base.errors import DONE, FAILED
from gapless.cli import output
from gapless.config.toml.fleets import Fleet
from gapless.push.rollout_outcome import left_behind
from gapless.releases import current
from gapless.rollout.model import HostReport, Phase, Rollout, State, signed_by
from gapless.rollout.policy import Policy
from gapless.rollout.status import status_of
from gapless.rollout.store import FleetStore


def host_line(report: HostReport) -> str:
    """Return the phase of a host, the release that it runs, and the reason."""
    why = f": {report.reason}" if report.reason else ""
    runs = f"{report.finished} has ended" if report.finished else ""
    runs = runs or f"{report.release or 'nothing'} runs"
    return f"{report.host} {report.phase.value} ({runs}){why}"


def print_host(report: HostReport) -> None:
    """Print one host on one line."""
    output.print_line(f"  {host_line(report)}")


def print_host_json(report: HostReport) -> None:
    """Print one host as one line of JSON."""
    output.print_json(host_json(report))


def sentence(rollout: Rollout, reports: dict[str, HostReport]) -> str:
    """Return how far a rollout has come."""
    status = status_of(rollout, reports.values())
    done, of = len(status.arrived), len(status.order)
    back = f", back to {rollout.previous}" if rollout.target != rollout.release else ""
    return (
        f"{rollout.app}: rollout {rollout.number} to {rollout.release}{back}: "
        f"{rollout.state.value}: {done} of {of} hosts updated"
    )


def print_rollout(rollout: Rollout, reports: dict[str, HostReport]) -> None:
    """Print the state of a rollout, and a table of the hosts."""
    print(sentence(rollout, reports))
    if rollout.reason:
        print(f"  {rollout.reason}")
    if rollout.began_at:
        print(f"  began {rollout.began_at} by {rollout.by}")
    if signers := signed_by(rollout):
        print(f"  signed by {signers}")
    if rollout.state in (State.HELD, State.STUCK):
        print(f"  {ways_on(rollout.app)}")
    if left_out := left_behind(rollout, reports.values()):
        print(f"  {left_out}")
    print_hosts(reports, rollout.policy.gone_s)


def print_hosts(
    reports: dict[str, HostReport], gone_s: float = Policy().gone_s
) -> None:
    """Print a table of hosts; one without a report for *gone_s* is not at work."""
    rows = [
        [
            each.host,
            each.release or (f"- ({each.finished})" if each.finished else "-"),
            _phase(each, gone_s),
            each.at,
            each.reason or "-",
        ]
        for each in sorted(reports.values(), key=lambda each: each.host)
    ]
    if rows:
        output.print_table(["host", "runs", "phase", "last report", "reason"], rows)
    else:
        print("  no host follows yet; run `gapless agent` on each")


def _phase(report: HostReport, gone_s: float) -> str:
    """Return the phase of a host, or that it is gone, and what it did then.

    By the host's clock and ours, which may differ: nothing is decided by it.
    """
    silent_s = _silent_s(report)
    gone_s = report.gone_after_s(gone_s)
    if silent_s is None or silent_s < gone_s or report.phase is Phase.STOPPED:
        return report.phase.value
    return f"gone for {output.duration(silent_s)} (was {report.phase.value})"


def _silent_s(report: HostReport) -> float | None:
    """Return for how long a host has not reported; None if that is not known."""
    try:
        at = dt.datetime.fromisoformat(report.at).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, clock.wall() - at)


def print_end(
    rollout: Rollout, *, as_json: bool, reports: dict[str, HostReport] | None = None
) -> None:
    """Print how a rollout ended."""
    if as_json:
        output.print_json(rollout_json(rollout, reports))
        return
    colour = "green" if rollout.state is State.DONE else "red"
    why = f": {rollout.reason}" if rollout.reason else ""
    line = f"{rollout.app}: rollout {rollout.number} to {rollout.release} "
    output.print_line(output.paint(f"{line}{rollout.state.value}{why}", colour))
    if rollout.state in (State.HELD, State.STUCK):
        print(f"  {ways_on(rollout.app)}", flush=True)
    if left_out := left_behind(rollout, (reports or {}).values()):
        output.print_line(output.paint(f"  {left_out}", "yellow"))


def ways_on(app: str) -> str:
    """Return the commands for a rollout that waits for people."""
    return (
        f"`gapless rollout resume {app}` tries again, "
        f"`gapless rollout abort {app}` goes back"
    )


def exit_code(rollout: Rollout) -> int:
    """Return the exit code that the end of a rollout means.

    One that is done with so many failures as its policy allows is done.
    """
    return DONE if rollout.state is State.DONE else FAILED


def status_json(fleet: Fleet, store: FleetStore) -> dict[str, Any]:
    """Return what `gapless rollout status --json` prints.  Raises GaplessError."""
    rollout, _ = store.rollout()
    if rollout is None:
        hosts = hosts_json(store.hosts.all())
        return {"app": store.app, "state": None, "hosts": hosts}
    plain = rollout_json(rollout, store.hosts.all())
    return plain | {"stranger": stranger(fleet, rollout)}


def stranger(fleet: Fleet, rollout: Rollout) -> str:
    """Return the release that the link names, if neither the rollout nor gapless set it."""
    named = current.current(fleet.release)
    known = (rollout.release, rollout.previous)
    return "" if named is None or named.name in known else named.name


def rollout_json(
    rollout: Rollout, reports: dict[str, HostReport] | None = None
) -> dict[str, Any]:
    """Return a rollout, and its hosts if they are given, as a JSON object."""
    plain = dataclasses.asdict(rollout) | {
        "state": rollout.state.value,
        "target": rollout.target,
    }
    if reports is not None:
        plain["hosts"] = hosts_json(reports)
    return plain


def hosts_json(reports: dict[str, HostReport]) -> list[dict[str, Any]]:
    """Return hosts as a JSON array."""
    return [host_json(each) for each in reports.values()]


def host_json(report: HostReport) -> dict[str, Any]:
    """Return a host as a JSON object."""
    silent_s = _silent_s(report)
    return dataclasses.asdict(report) | {
        "phase": report.phase.value,
        "silent_s": None if silent_s is None else round(silent_s, 1),
    }
