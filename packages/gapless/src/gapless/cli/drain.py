"""Let this host leave service: requests get 503, what was begun is finished.

Apps that use the drain library refuse every new request, so that a load balancer sends
it to another host (`gapless balancer` tells how); the command waits until nothing is under
way.  `gapless undrain` goes back.  Apps that do not use it serve on, and are named.
"""

from __future__ import annotations

import argparse
import select
from typing import Any

from gapless.base import clock
from gapless.base.errors import DONE, FAILED, TimedOutError
from gapless.cli import show
from gapless.client import Client

PAUSE_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `drain` understands."""
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for what is under way (60)",
    )
    parser.add_argument("--json", action="store_true", help="the same for machines")


def run(asked: argparse.Namespace) -> int:
    """Drain, and wait; exit code 1 if an app serves on, 4 if something is under way."""
    client = Client()
    rows = client.request("drain")["apps"]
    deadline = clock.monotonic() + asked.timeout
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
        show.as_json({"drained": not serving, "serving": serving, "apps": rows})
    else:
        for row in rows:
            if row["refuses"]:
                print(f"{row['name']}: drained")
        for name in serving:
            line = f"{name}: serves on, it does not use the drain library"
            print(show.paint(line, "yellow"))
    return FAILED if serving else DONE


def _is_busy(row: dict[str, Any]) -> bool:
    busy = row["requests"] or row["procedures"] or row["silent"]
    return bool(row["refuses"] and busy)


def _state(row: dict[str, Any]) -> str:
    requests = show.count(row["requests"], "request")
    procedures = show.count(row["procedures"], "procedure")
    silent = ""
    if row["silent"]:
        silent = f", no answer yet from {row['silent']} of its processes"
    return f"{row['name']}: {requests}, {procedures} under way{silent}"


def _tell(busy: list[dict[str, Any]], told: dict[str, str]) -> None:
    for row in busy:
        if told.get(row["name"]) != _state(row):
            told[row["name"]] = _state(row)
            print(_state(row), flush=True)
