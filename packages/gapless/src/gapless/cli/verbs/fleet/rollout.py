"""How far a fleet is, and a hand on it: status, hold, resume, abort, history, forget.

`status --watch` goes on until the rollout has ended; `history APP NUMBER` tells one whole.
After `hold` no host switches any more; `resume` goes on, and lets hosts that failed try
again; `abort` takes hosts that changed back to the release of before; `forget` drops a host
that will not come back.
"""

from __future__ import annotations

import argparse
from typing import Any

from gapless.agent.open_store import open_store
from gapless.base.errors import DONE, MisuseError, NotFoundError
from gapless.cli import configuration, fleets, output
from gapless.config.toml.fleets import Fleet
from gapless.releases import current
from gapless.rollout.model import Action, HostReport, Rollout, State
from gapless.rollout.status import status_of
from gapless.rollout.store import FleetStore

_ACTIONS = {"hold": Action.HOLD, "resume": Action.RESUME, "abort": Action.REVERT}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `rollout` understands."""
    parser.add_argument("what", choices=["status", *_ACTIONS, "history", "forget"])
    parser.add_argument("app", nargs="?", default="", metavar="APP")
    parser.add_argument(
        "which",
        nargs="?",
        default="",
        metavar="HOST|NUMBER",
        help="the host to forget; the rollout of the history to tell whole",
    )
    parser.add_argument(
        "--watch", action="store_true", help="tell each step until it has ended"
    )
    parser.add_argument("--reason", default="", help="why, for the others")
    parser.add_argument("--timeout", type=float, default=3600.0, help=argparse.SUPPRESS)
    configuration.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Look at a rollout, or move it."""
    found = configuration.one_fleet(asked.config, asked.app)
    store = open_store(found, fleets.complain)
    if asked.what == "history" and asked.which:
        reports = found.release.reports
        return _one(store, asked.which, reports, as_json=asked.json)
    if asked.what == "history":
        return _history(store, as_json=asked.json)
    if asked.what == "forget":
        return _forget(store, asked.which)
    if asked.what in _ACTIONS:
        return _apply(store, asked)
    rollout, _ = store.rollout()
    if rollout is None:
        if asked.json:
            hosts = fleets.hosts_as_data(store.hosts.all())
            output.as_json({"app": store.app, "state": None, "hosts": hosts})
        else:
            print(f"{store.app}: nothing was rolled out yet; `gapless publish TARBALL`")
            _show_hosts(store.hosts.all())
        return DONE
    if asked.watch:
        tell = _tell_line if asked.json else fleets.tell_host
        if not asked.json:
            _show(rollout, store.hosts.all())
        rollout = fleets.follow(store, rollout.number, asked.timeout, tell)
        fleets.tell_end(rollout, as_json=asked.json, reports=store.hosts.all())
        return fleets.code(rollout)
    stranger = _stranger(found, rollout)
    if asked.json:
        plain = fleets.as_data(rollout, store.hosts.all())
        output.as_json(plain | {"stranger": stranger})
        return DONE
    _show(rollout, store.hosts.all())
    if stranger:
        print(
            f"  {found.release.link} names {stranger}, which no rollout brought: no host "
            f"of the fleet takes it\n  `gapless rollback {store.app} {stranger}` rolls it "
            "out"
        )
    return DONE


def _tell_line(report: HostReport) -> None:
    """Tell what a host does now, a JSON object on a line."""
    output.as_json(fleets.host_as_data(report))


def _stranger(found: Fleet, rollout: Rollout) -> str:
    """Return the release that somebody else flipped the link to, if one did."""
    named = current.current(found.release)
    known = (rollout.release, rollout.previous)
    return "" if named is None or named.name in known else named.name


def _show(rollout: Rollout, reports: dict[str, HostReport]) -> None:
    status = status_of(rollout, reports.values())
    done, of = len(status.arrived), len(status.order)
    back = f", back to {rollout.previous}" if rollout.target != rollout.release else ""
    print(
        f"{rollout.app}: rollout {rollout.number} to {rollout.release}{back}: "
        f"{rollout.state.value}, {done} of {of} hosts there"
    )
    if rollout.reason:
        print(f"  {rollout.reason}")
    if rollout.began_at:
        print(f"  began {rollout.began_at} by {rollout.by}")
    _show_hosts(reports)


def _show_hosts(reports: dict[str, HostReport]) -> None:
    rows = [
        [each.host, each.release or "-", each.phase.value, each.at, each.reason or "-"]
        for each in sorted(reports.values(), key=lambda each: each.host)
    ]
    if rows:
        output.table(["host", "runs", "phase", "last said", "why"], rows)
    else:
        print("  no host follows yet; run `gapless agent` on each")


def _apply(store: FleetStore, asked: argparse.Namespace) -> int:
    action = _ACTIONS[asked.what]
    before, _ = store.rollout()
    if before is None:
        raise NotFoundError(f"{store.app}: nothing was rolled out yet")
    after = store.apply(action, asked.reason or f"{asked.what} by hand")
    if after is None:
        why = f"{store.app}: rollout {before.number} is {before.state.value}"
        if action is Action.REVERT and not before.previous:
            why += ", and there is no release to go back to"
        raise MisuseError(
            f"{why}: `{asked.what}` means nothing to it", hint=_hint(before)
        )
    if asked.json:
        output.as_json(fleets.as_data(after))
    else:
        print(
            f"{store.app}: rollout {after.number} {after.state.value}: {after.reason}"
        )
    return DONE


def _hint(rollout: Rollout) -> str:
    if rollout.state in (State.DONE, State.REVERTED):
        return f"`gapless rollback {rollout.app}` goes back with a rollout of its own"
    return f"`gapless rollout status {rollout.app}` shows what it does"


def _forget(store: FleetStore, host: str) -> int:
    if not host:
        raise MisuseError("which host?", hint="gapless rollout forget APP HOST")
    if not store.forget(host):
        known = ", ".join(sorted(store.hosts.all())) or "none"
        raise NotFoundError(
            f"{store.app}: there is no host {host}", hint=f"known: {known}"
        )
    print(f"{store.app}: {host} is forgotten; it comes back if its agent runs")
    return DONE


def _history(store: FleetStore, *, as_json: bool) -> int:
    found = store.history.read()
    if as_json:
        output.as_json(found)
        return DONE
    if not found:
        print(f"{store.app}: no rollout has ended yet")
        return DONE
    rows = [_row(each) for each in found]
    heads = ["rollout", "release", "outcome", "began", "ended", "by", "hosts", "why"]
    output.table(heads, rows)
    return DONE


def _one(store: FleetStore, number: str, reports: str, *, as_json: bool) -> int:
    """Tell one rollout whole: its hosts, and where their reports are."""
    found = next((e for e in store.history.read() if str(e["number"]) == number), None)
    if found is None:
        raise NotFoundError(
            f"{store.app}: no rollout {number} has ended",
            hint=f"`gapless rollout history {store.app}` lists those that have",
        )
    where = f"{reports}/{found['release']}"
    if as_json:
        output.as_json(found | {"reports": where})
        return DONE
    print(f"{store.app}: rollout {number} to {found['release']}: {found['outcome']}")
    if found["reason"]:
        print(f"  {found['reason']}")
    print(f"  began {found['began_at']} by {found['by']}")
    print(f"  ended {found.get('ended_at', '-')}")
    rows = [
        [host, each["release"] or "-", each["phase"], each["reason"] or "-"]
        for host, each in sorted(found["hosts"].items())
    ]
    if rows:
        output.table(["host", "ran", "phase", "why"], rows)
    print(f"  reports of the hosts: {where}")
    return DONE


def _row(each: dict[str, Any]) -> list[str]:
    return [
        str(each["number"]),
        str(each["release"]),
        str(each["outcome"]),
        str(each["began_at"]),
        str(each.get("ended_at", "-")),
        str(each["by"]),
        str(each["changed"]),
        str(each["reason"] or "-"),
    ]
