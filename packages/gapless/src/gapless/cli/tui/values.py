"""What the screen shows of what the supervisor tells: cells, trends, sentences.  Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gapless.base import app_status
from gapless.base.names import ReleaseName
from gapless.base.outside.text import printable
from gapless.cli import output
from gapless.cli.terminal import columns

LENGTH = 60
"""So many values of the past are kept of an app."""
BARS = " ▁▂▃▄▅▆▇█"
TREND = 8
APP_HEADINGS = (
    *("app", "status", "inst", "gen", "rst", "req", "proc", "cpu", "memory"),
    "cpu trend",
)
INSTANCE_HEADINGS = (
    *("instance", "pid", "phase", "uptime", "cpu", "memory", "connections"),
    *("req", "proc", "rst"),
)
GENERATION_HEADINGS = ("gen", "role", "release", "instances", "connections", "queued")
OTHERS = 72
"""How many columns of the terminal all cells but that of the name take."""
COLOURS = {
    "online": "green",
    "gave up": "bold red",
    "stopped": "dim",
    "ready": "green",
    "gone": "dim",
}
"""Of a status or phase; any other one is under way."""


@dataclass(slots=True)
class Trends:
    """The last values of one app."""

    cpu: deque[float] = field(default_factory=lambda: deque(maxlen=LENGTH))
    memory: deque[float] = field(default_factory=lambda: deque(maxlen=LENGTH))
    requests: deque[float] = field(default_factory=lambda: deque(maxlen=LENGTH))

    def add(self, row: Mapping[str, Any]) -> None:
        """Add the values of a row of `list`."""
        self.cpu.append(float(row["cpu_percent"]))
        self.memory.append(float(row["memory_bytes"]))
        self.requests.append(float(row["requests"] or 0))


def release_that_serves(row: Mapping[str, Any]) -> str:
    """Return the release that serves by a row of `list`; empty if none does.

    An app that does not run may have been rolled back since it ran last.
    """
    if not app_status.is_in_service(row["status"]):
        return ""
    try:
        return ReleaseName(row["release"] or "")
    except ValueError:
        return ""  # it did not come from a publisher


def bars(values: Iterable[float], count: int = TREND) -> str:
    """Return the last values as characters of different height; 0 has none."""
    last = list(values)[-count:]
    most = max(last, default=0.0)
    if most <= 0:
        return " " * count
    steps = len(BARS) - 1
    shown = "".join(BARS[math.ceil(each * steps / most)] for each in last)
    return shown.rjust(count)


def app_cells(row: Mapping[str, Any], trends: Trends, width: int) -> list[str]:
    """Return the cells of an app in a terminal of some *width*."""
    instances = row["instances"]
    return [
        columns.cut(printable(str(row["name"])), max(12, min(40, width - OTHERS))),
        str(row["status"]),
        f"{instances['ready']}/{instances['wanted']}",
        str(row["generation"]),
        str(row["restarts"]),
        _count(row["requests"]),
        _count(row["procedures"]),
        _percent(row["cpu_percent"]),
        output.size(row["memory_bytes"]).rjust(6),
        bars(trends.cpu),
    ]


def instance_cells(each: Mapping[str, Any]) -> list[str]:
    """Return the cells of an instance, as `describe` tells of it."""
    counts = each["counts"] or {}
    return [
        f"{each['generation']}.{each['ordinal']}",
        str(each["pid"]),
        str(each["phase"]),
        output.duration(each["uptime_s"]),
        _percent(each["cpu_percent"]),
        output.size(each["memory_bytes"]).rjust(6),
        _connections(each["connections"], each["busy"]),
        _count(counts.get("requests")),
        _count(counts.get("procedures")),
        str(each["restarts"]),
    ]


def generation_cells(described: Mapping[str, Any]) -> list[list[str]]:
    """Return the cells of each generation of an app: how far a release has come."""
    found = []
    for generation in described["generations"]:
        own = [
            each
            for each in described["instances_detail"]
            if each["generation"] == generation["generation"]
        ]
        phases = {each["phase"]: 0 for each in own}
        for each in own:
            phases[each["phase"]] += 1
        seen = [each["connections"] for each in own if each["connections"] is not None]
        found.append(
            [
                str(generation["generation"]),
                str(generation["role"]),
                printable(str(generation["release"] or "-")),
                ", ".join(f"{count} {phase}" for phase, count in phases.items()) or "-",
                str(sum(seen)) if seen or not own else "not seen",
                str(sum(each["queued"] for each in generation["sockets"])),
            ]
        )
    return found


def summary(rows: Sequence[Mapping[str, Any]], supervisor: Mapping[str, Any]) -> str:
    """Return the line about all apps together."""
    statuses: dict[str, int] = {}
    for row in rows:
        statuses[row["status"]] = statuses.get(row["status"], 0) + 1
    words = ", ".join(f"{count} {status}" for status, count in statuses.items())
    cpu = sum(row["cpu_percent"] for row in rows)
    memory = sum(row["memory_bytes"] for row in rows)
    version = supervisor.get("version", "")
    return (
        f"{output.count(len(rows), 'app')}: {words or 'none'}  cpu {cpu:.1f}%  "
        f"memory {output.size(memory)}  gapless {version}"
    )


def sentence(row: Mapping[str, Any]) -> str:
    """Return what is to be known of an app beside its numbers."""
    parts = [printable(str(row["reason"]))] if row["reason"] else []
    by = {
        cause: count for cause, count in (row.get("restarts_by") or {}).items() if count
    }
    if by:
        causes = ", ".join(f"{cause} {count}" for cause, count in by.items())
        parts.append(f"restarts by cause: {printable(causes)}")
    if row["addresses"]:
        parts.append(f"listens on {printable(', '.join(row['addresses']))}")
    return "; ".join(parts)


def report_lines(described: Mapping[str, Any]) -> list[str]:
    """Return the last report of an app, a line a step."""
    report = described.get("last_report")
    if not report:
        return []
    old, new = report["generation"]["old"], report["generation"]["new"]
    lines = [
        f"last: {report['action']} {report['outcome']} at {report['started_at'][:19]}, "
        f"generation {old or '-'} -> {new or '-'}"
    ]
    lines += [f"because {report['reason']}"] if report["reason"] else []
    if counts := report["connections"]:
        lines.append(
            f"connections: {counts['seen']} seen, {counts['finished']} finished, "
            f"{counts['cut']} cut"
        )
    lines += [
        f"{step['at_s']:7.2f} s  {step['step']}  {step['detail']}"
        for step in report["steps"]
    ]
    return [printable(line) for line in lines]


def _connections(count: int | None, busy: int | None) -> str:
    return "not seen" if count is None else f"{count} ({busy} busy)"


def _percent(number: float) -> str:
    """Return a share of one processor; a column that grows would be cut for a moment."""
    return f"{number:5.1f}%"


def _count(number: object) -> str:
    return "-" if number is None else str(number)
