"""Let this host leave service: balancers are told, then requests get 503, then it is idle.

Apps that use the drain library refuse every new request, so that a load balancer sends
it to another host (`gapless balancer` tells how); the command waits until nothing is under
way.  `gapless undrain` goes back.  Apps that do not use it serve on, and are named; of
those with `outgoing`, answers that are outstanding for over a second are waited for.

A host of a fleet has to ask the others: the last one that serves is refused.  Where its
agent answers balancers (`gapless agent --health`) they are told first, and nothing is
refused until no request comes any more, for --lead seconds at most.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
from typing import TYPE_CHECKING, Any

from gapless.base import clock
from gapless.base.errors import (
    DONE,
    FAILED,
    GaplessError,
    MisuseError,
    TimedOutError,
)
from gapless.cli import output, under_way
from gapless.client import Client
from gapless.supervisor.memory.calls import LONG_CALL_S

if TYPE_CHECKING:
    from gapless.agent.drain_right import DrainRight

PAUSE_S = 0.1
LONGEST_LEAD_S = 3600.0
LEAD_S = 10.0
"""How long, at most, balancers are told that ask the agent."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `drain` understands."""
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for what is under way (60)",
    )
    parser.add_argument(
        "--lead",
        type=float,
        default=None,
        metavar="SECONDS",
        help="how long, at most, balancers are told before requests are refused; "
        "10 where the agent answers them, else as each app says",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="of a fleet: also if no other host would serve, or nobody can be asked",
    )
    parser.add_argument("--json", action="store_true", help="the same for machines")


def run(asked: argparse.Namespace) -> int:
    """Drain, and wait; exit code 1 if an app serves on, 4 if something is under way."""
    if asked.lead is not None and not 0 <= asked.lead <= LONGEST_LEAD_S:
        raise MisuseError(f"--lead: a number of seconds from 0 to {LONGEST_LEAD_S:g}")
    client = Client()
    departures = _take_leave(client, force=asked.force, quiet=asked.json)
    lead_s = asked.lead
    if lead_s is None and any(map(_is_asked, departures)):
        lead_s = LEAD_S
    rows = client.request("drain", lead_s=lead_s)["apps"]
    _confirm(client, departures, force=asked.force)
    deadline = clock.monotonic() + asked.timeout + (lead_s or 0.0)
    told: dict[str, str] = {}
    while busy := [row for row in rows if _is_busy(row)]:
        if not asked.json:
            _tell(busy, told)
        if clock.monotonic() >= deadline:
            raise TimedOutError(
                f"not drained after {asked.timeout:g} s: {'; '.join(map(_state, busy))}",
                hint="it goes on draining; `gapless undrain` goes back to serving",
            )
        select.select([], [], [], PAUSE_S)
        rows = client.request("list")["apps"]
    serving = [row["name"] for row in rows if not row["refuses"] and row["pids"]]
    if asked.json:
        output.as_json({"drained": not serving, "serving": serving, "apps": rows})
    else:
        for row in rows:
            if row["refuses"]:
                print(f"{row['name']}: drained")
        for name in serving:
            line = f"{name}: serves on, it does not use the drain library"
            print(output.paint(line, "yellow"))
    return FAILED if serving else DONE


# --- the fleets of this host ------------------------------------------------------------


def departures(client: Client, *, quiet: bool) -> list[DrainRight]:
    """Return how this host leaves each of its fleets; none if it is of none.

    Raises GaplessError.
    """
    if not os.path.exists(client.home.fleets):
        return []
    from gapless.agent import drain_right, membership  # noqa: PLC0415 - loads TLS
    from gapless.cli import fleets  # noqa: PLC0415 - the same

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    return [
        drain_right.DrainRight(each, say, fleets.complain)
        for each in membership.memberships(client.home)
    ]


def _take_leave(client: Client, *, force: bool, quiet: bool) -> list[DrainRight]:
    """Take the right to drain in every fleet.  Raises GaplessError."""
    try:
        found = departures(client, quiet=quiet)
    except GaplessError:
        if force:
            return []
        raise
    if not found:
        return []
    from gapless.agent import drain_right  # noqa: PLC0415 - loads TLS

    if not force:
        drain_right.take_all(found)
        return found
    for each in found:
        try:
            each.force()
        except GaplessError as error:
            output.complain(f"{each.app}: the others are not told: {error.message}")
    return found


def _confirm(client: Client, found: list[DrainRight], *, force: bool) -> None:
    """Go back if the right was lost before the drain began.  Raises GaplessError."""
    if force:
        return
    for each in found:
        try:
            held = each.is_held()
        except GaplessError:
            continue  # it was when it could be asked, a moment ago
        if not held:
            client.request("undrain")
            for other in found:
                with contextlib.suppress(GaplessError):  # its agent does it later
                    other.give_back()
            raise GaplessError(
                f"{each.app}: the right to drain was lost meanwhile", hint="try again"
            )


def _is_asked(right: DrainRight) -> bool:
    try:
        return right.answers_balancers()
    except GaplessError:
        return False


# --- what is under way ------------------------------------------------------------------


def _is_busy(row: dict[str, Any]) -> bool:
    calls = row["outgoing"] or ()
    if _leads(row):
        return True
    if not row["refuses"]:
        # It serves on, and so has always a quick call; one that lasts is waited for.
        return any(call["for_s"] >= LONG_CALL_S for call in calls)
    return bool(row["requests"] or row["procedures"] or row["silent"] or calls)


def _leads(row: dict[str, Any]) -> bool:
    """Tell whether balancers are being told, and nothing is refused yet."""
    return bool(row["pids"]) and row["modes"] != ["recycle"]


def _state(row: dict[str, Any]) -> str:
    if _leads(row):
        return f"{row['name']}: balancers are told, until no request comes"
    counts = []
    if row["refuses"]:
        counts.append(output.count(row["requests"], "request"))
        counts.append(output.count(row["procedures"], "procedure"))
    if row["outgoing"]:
        counts.append(output.count(len(row["outgoing"]), "call"))
    silent = ""
    if row["silent"]:
        silent = f", no answer yet from {row['silent']} of its processes"
    named = under_way.sentence(row)
    named = f" ({named})" if named else ""
    return f"{row['name']}: {', '.join(counts)} under way{named}{silent}"


def _tell(busy: list[dict[str, Any]], told: dict[str, str]) -> None:
    """Print what has changed: how many there are, not for how long."""
    for row in busy:
        calls = len(row["outgoing"] or ())
        now = f"{_leads(row)} {row['requests']} {row['procedures']} "
        now += f"{row['silent']} {calls}"
        if told.get(row["name"]) != now:
            told[row["name"]] = now
            print(_state(row), flush=True)
