"""Take this host out of service: tell load balancers, refuse requests, wait until idle.

Apps that use the drain library refuse every new request with 503, so that a load balancer
sends it to another host (`gapless balancer` writes its configuration).  The command waits
until nothing is under way; `gapless undrain` goes back.  Apps without the library serve on,
and are listed; of those with `outgoing`, answers that are outstanding for over a second are
waited for.

A host of a fleet first takes the right to drain: the last host that serves is refused.
Where its agent answers load balancers (`gapless agent --health`) they are told first, and
nothing is refused until no request comes any more, for --lead seconds at most.
"""

from __future__ import annotations

import argparse
import select
from typing import Any

from gapless.base import clock
from gapless.base.errors import DONE, FAILED, MisuseError, TimedOutError
from gapless.cli import arguments, output
from gapless.cli.display import under_way
from gapless.cli.fleet import drain_rights
from gapless.client import Client
from gapless.supervisor.memory.calls import LONG_CALL_S

POLL_S = 0.1
TIMEOUT_S = 60.0
LONGEST_LEAD_S = 3600.0
LEAD_S = 10.0
"""The lead time of a host whose agent answers load balancers."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `drain`."""
    parser.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help="how long to wait for what is under way, after the lead time "
        f"(default: {TIMEOUT_S:g})",
    )
    parser.add_argument(
        "--lead",
        type=float,
        default=None,
        metavar="SECONDS",
        help="how long, at most, load balancers are told before requests are refused; "
        f"default: {LEAD_S:g} where the agent answers them, else as each app says",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="in a fleet: drain also if no other host would serve, "
        "or the coordinator does not answer",
    )
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Drain, and wait; exit code 1 if an app serves on, 4 if something is under way."""
    if args.lead is not None and not 0 <= args.lead <= LONGEST_LEAD_S:
        raise MisuseError(f"--lead: a number of seconds from 0 to {LONGEST_LEAD_S:g}")
    client = Client()
    print_line = output.print_nothing if args.json else output.print_line
    rights = drain_rights.take(client, print_line, force=args.force)
    lead_s = args.lead
    if lead_s is None and any(map(drain_rights.answers_balancers, rights)):
        lead_s = LEAD_S
    rows = client.request("drain", lead_s=lead_s)["apps"]
    if not args.force:
        drain_rights.confirm(client, rights)
    deadline = clock.monotonic() + args.timeout + (lead_s or 0.0)
    printed: dict[str, str] = {}
    while busy := [row for row in rows if _is_busy(row)]:
        if not args.json:
            _print_changed(busy, printed)
        if clock.monotonic() >= deadline:
            raise TimedOutError(
                f"not drained after {args.timeout:g} s: {'; '.join(map(_state, busy))}",
                hint="it goes on draining; `gapless undrain` goes back to serving",
            )
        select.select([], [], [], POLL_S)
        rows = client.request("list")["apps"]
    serving = [row["name"] for row in rows if not row["refuses"] and row["pids"]]
    if args.json:
        output.print_json({"drained": not serving, "serving": serving, "apps": rows})
    else:
        for row in rows:
            if row["refuses"]:
                print(f"{row['name']}: drained")
        for name in serving:
            line = f"{name}: serves on, it does not use the drain library"
            print(output.paint(line, "yellow"))
        if serving:
            print(
                "hint: for those let the balancer leave out this host (docs/balancers.md); "
                "`gapless undrain` goes back to serving"
            )
    return FAILED if serving else DONE


def _is_busy(row: dict[str, Any]) -> bool:
    calls = row["outgoing"] or ()
    if _is_in_lead_time(row):
        return True
    if not row["refuses"]:
        # It serves on, and so has always a quick call; one that lasts is waited for.
        return any(call["for_s"] >= LONG_CALL_S for call in calls)
    if row.get("outgoing_unseen"):  # older supervisors have no such key
        return True
    return bool(row["requests"] or row["procedures"] or row["silent"] or calls)


def _is_in_lead_time(row: dict[str, Any]) -> bool:
    """Return whether load balancers are told, and nothing is refused yet."""
    return bool(row["pids"]) and row["modes"] != ["recycle"]


def _state(row: dict[str, Any]) -> str:
    if _is_in_lead_time(row):
        return f"{row['name']}: balancers are told, until no request comes"
    counts = []
    if row["refuses"]:
        counts.append(output.count(row["requests"], "request"))
        counts.append(output.count(row["procedures"], "procedure"))
    if row.get("outgoing_unseen"):
        counts.append("calls to databases that cannot be seen here")
    if row["outgoing"]:
        counts.append(output.count(len(row["outgoing"]), "call"))
    silent = ""
    if row["silent"]:
        silent = f", no answer yet from {row['silent']} of its processes"
    named = under_way.sentence(row)
    named = f" ({named})" if named else ""
    return f"{row['name']}: {', '.join(counts)} under way{named}{silent}"


def _print_changed(busy: list[dict[str, Any]], printed: dict[str, str]) -> None:
    """Print the apps whose numbers have changed; durations change always."""
    for row in busy:
        calls = len(row["outgoing"] or ())
        numbers = f"{_is_in_lead_time(row)} {row['requests']} {row['procedures']} "
        numbers += f"{row['silent']} {calls}"
        if printed.get(row["name"]) != numbers:
            printed[row["name"]] = numbers
            print(_state(row), flush=True)
