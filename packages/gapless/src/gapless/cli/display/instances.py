"""The generations and instances of one app, and their work, as `describe` returns them."""

from __future__ import annotations

from typing import Any

from gapless.cli import output
from gapless.cli.display import under_way

_HEADINGS = [
    *("instance", "pid", "phase", "uptime", "cpu", "memory", "processes"),
    *("connections", "it counts", "it says"),
]
_ALWAYS = 8
"""The first columns are there for every app."""


def print_tables(found: dict[str, Any]) -> None:
    """Print the table of generations, and that of instances."""
    if found["generations"]:
        print()
        rows = [
            [
                str(g["generation"]),
                g["role"],
                g["release"] or "-",
                ", ".join(map(_socket, g["sockets"])),
            ]
            for g in found["generations"]
        ]
        output.print_table(["generation", "role", "release", "listens on"], rows)
    if found["instances_detail"]:
        print()
        rows = [
            [
                f"{i['generation']}.{i['ordinal']}",
                str(i["pid"]),
                i["phase"],
                output.duration(i["uptime_s"]),
                f"{i['cpu_percent']}%",
                output.size(i["memory_bytes"]),
                str(i["processes"]),
                _connections(i),
                _counts(i),
                _status(i),
            ]
            for i in found["instances_detail"]
        ]
        _print_known(_HEADINGS, rows)


def _print_known(headings: list[str], rows: list[list[str]]) -> None:
    """Print a table, without the last columns of what no instance tells."""
    shown = [
        n
        for n in range(len(headings))
        if n < _ALWAYS or any(row[n] not in ("", "-") for row in rows)
    ]
    output.print_table(
        [headings[n] for n in shown], [[row[n] for n in shown] for row in rows]
    )


def _status(instance: dict[str, Any]) -> str:
    """Return what an instance says of itself, and what is special about it."""
    # An older supervisor does not tell.
    where = "in the background" if instance.get("background") else ""
    if where and instance.get("leader"):
        where += f" ({instance['leader']})"
    alive = instance.get("alive") or {"failures": 0}
    hangs = f"did not answer {alive['failures']} times" if alive["failures"] else ""
    return ", ".join(filter(None, [instance["status_text"], where, hangs]))


def _connections(instance: dict[str, Any]) -> str:
    if instance["connections"] is None:
        return "not seen"
    return f"{instance['connections']} ({instance['busy']} busy)"


def _counts(instance: dict[str, Any]) -> str:
    counts, mode = instance["counts"], instance["mode"]
    if counts is None:
        return "-"
    drains = f", drains ({mode})" if mode != "serving" else ""
    requests = output.count(counts["requests"], "request")
    return f"{requests}, {output.count(counts['procedures'], 'procedure')}{drains}"


def print_under_way(found: dict[str, Any]) -> None:
    """Print a table of procedures, calls and other work, if there is some."""
    rows = [
        [
            f"{i['generation']}.{i['ordinal']}",
            each["kind"],
            "",
            f"{each['for_s']:.1f} s",
            each["name"],
        ]
        for i in found["instances_detail"]
        if i["counts"]
        for each in i["counts"]["running"]
        if each["kind"] != "procedure"
    ]
    named = [*under_way.procedures(found), *under_way.calls(found)]
    rows = [[each[0], each[1], *each[3:]] for each in named] + rows
    if rows:
        print()
        output.print_table(["instance", "under way", "since", "for", "name"], rows)


def print_killed(found: dict[str, Any]) -> None:
    """Print which instances live, and have lost processes for want of memory."""
    for each in found["instances_detail"]:
        if killed := each.get("killed_for_memory"):
            number = f"{each['generation']}.{each['ordinal']}"
            count = "a process" if killed == 1 else f"{killed} processes"
            print(
                f"instance {number}: the kernel has killed {count} of it for want of "
                f"memory"
            )


def print_metrics(found: dict[str, Any]) -> None:
    """Print what instances measure of themselves, and which actions they offer."""
    rows = [
        [
            f"{i['generation']}.{i['ordinal']}",
            name,
            f"{metric['value']} {metric['unit']}".strip(),
        ]
        for i in found["instances_detail"]
        for name, metric in i.get("metrics", {}).items()
    ]
    if rows:
        print()
        output.print_table(["instance", "metric", "value"], rows)
    offered = (i.get("actions", {}) for i in found["instances_detail"])
    actions = sorted({name for each in offered for name in each})
    if actions:
        print(f"actions of the app, for `gapless pm2 trigger`: {', '.join(actions)}")


def _socket(found: dict[str, Any]) -> str:
    """Return where a generation listens, and for which instance if not for all."""
    seat = found.get("seat")
    whose = "" if seat is None else f"instance {seat}, "
    return f"{found['address']} ({whose}{found['queued']} queued)"
