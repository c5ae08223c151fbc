"""List the apps of this host, one row per app; where none runs, those that it knows."""

from __future__ import annotations

import argparse
from typing import Any

from gapless.base import set_aside
from gapless.base.errors import DONE, MisuseError
from gapless.base.kernel import hung
from gapless.base.outside.text import printable
from gapless.cli import arguments, output
from gapless.cli.display import under_way
from gapless.cli.display.secrets import shown
from gapless.cli.upgrade import running
from gapless.client import Client

HEADINGS = [
    "id",
    "app",
    "status",
    "instances",
    "release",
    "generation",
    "restarts",
    "uptime",
    "requests",
    "procedures",
    "cpu",
    "memory",
    "listens on",
]

_LEAVING = [
    *("release", "procedures", "requests", "restarts", "uptime", "generation", "id"),
    *("listens on", "memory", "cpu"),
]
"""What goes first from a terminal that is too narrow; `--plain` and `--json` have all."""
_KEYS = {
    "name": "name",
    "id": "ids",
    "namespace": "namespace",
    "status": "status",
    "pid": "pids",
    "restarts": "restarts",
    "uptime": "uptime_s",
    "cpu": "cpu_percent",
    "memory": "memory_bytes",
    "release": "release",
}
"""What apps may be sorted by, and where it stands in a row."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `list`."""
    arguments.add_json(parser)
    arguments.add_show_secrets(parser)
    parser.add_argument(
        "--sort",
        default="",
        metavar="KEY[:desc]",
        help=f"{', '.join(_KEYS)}; default: as they were started",
    )


def run(args: argparse.Namespace) -> int:
    """List the apps."""
    client = Client(starts=False)
    found = shown(args, client.request("list"))
    if args.sort:
        found["apps"] = _sorted(found["apps"], args.sort)
    if args.json:
        output.print_json(found)
        return DONE
    rows = found["apps"]
    assert isinstance(rows, list)
    for name, reason in ((found["supervisor"] or {}).get("unread") or {}).items():
        print(f"{name}: left alone, it serves on: another version noted it: {reason}")
    if not rows:
        print("no apps here; `gapless start TARGET` starts one")
        _tell_set_aside(client)
        return DONE
    _print(rows)
    supervisor = found["supervisor"]
    if supervisor is None:
        print(
            "no supervisor runs here, so no app does; `gapless start APP` starts both, and "
            "so does the unit of systemd, if there is one (systemctl start gapless-USER)"
        )
    elif supervisor["draining"]:
        print("this host drains: new requests are refused; `gapless undrain` ends it")
    for line in hung.of_keeper(supervisor or {}) or ():
        print(line)
    if supervisor is not None and (trouble := running.trouble(supervisor)):
        print(f"{trouble}; `gapless upgrade` replaces what runs")
    for row in rows:
        if row["reason"]:
            colour = "red" if row["status"] == "gave up" else "yellow"
            print(output.paint(f"{row['name']}: {row['reason']}", colour))
    _tell_set_aside(client)
    return DONE


def _print(rows: list[dict[str, Any]]) -> None:
    """Print the table; without the columns of what no app counts."""
    cells = [_cells(row) for row in rows]
    silent = {
        HEADINGS.index(name)
        for name in ("requests", "procedures")
        if all(row[name] is None for row in rows)
    }
    shown = [n for n in range(len(HEADINGS)) if n not in silent]
    output.print_table(
        [HEADINGS[n] for n in shown],
        [[row[n] for n in shown] for row in cells],
        _LEAVING,
    )


def _tell_set_aside(client: Client) -> None:
    """Name the states that could not be read; they are told of until they are removed."""
    for path in set_aside.found_in(client.home.path):
        print(
            f"{printable(path)} could not be read, so nothing in it counts; what is "
            "missing is started from its file, then remove this one"
        )


def _sorted(rows: list[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    """Return rows in the order of KEY, KEY:asc or KEY:desc.  Raises MisuseError."""
    key, _, direction = wanted.partition(":")
    if key not in _KEYS or direction not in ("", "asc", "desc"):
        raise MisuseError(
            f"--sort {wanted}: this is no order",
            hint=f"KEY or KEY:desc, and KEY is one of: {', '.join(_KEYS)}",
        )

    def rank(row: dict[str, Any]) -> tuple[bool, Any]:
        value = row.get(_KEYS[key])
        first = value[0] if isinstance(value, list) and value else value
        is_missing = first is None or first == []
        return is_missing, 0 if is_missing else first

    return sorted(rows, key=rank, reverse=direction == "desc")


def _span(ids: list[int]) -> str:
    """Return the ids of an app's instances: 3, or 0-3, or 0,2,5."""
    if not ids:
        return "-"
    last = ids[0] + len(ids) - 1
    if len(ids) == 1:
        return str(ids[0])
    return f"{ids[0]}-{last}" if ids[-1] == last else ",".join(map(str, ids))


def _name(row: dict[str, object]) -> str:
    """Return the name of an app, and what PM2 would call it if that is another."""
    alias = row.get("alias", row["name"])
    return f"{row['name']}" if alias == row["name"] else f"{row['name']} ({alias})"


def _count(number: object) -> str:
    """Return a number; - for an app that does not count."""
    return "-" if number is None else str(number)


def _cells(row: dict[str, object]) -> list[str]:
    instances = row["instances"]
    addresses = row["addresses"]
    assert isinstance(instances, dict)
    assert isinstance(addresses, list)
    ids = row["ids"]
    assert isinstance(ids, list)
    return [
        _span(ids),
        _name(row),
        str(row["status"]),
        f"{instances['ready']}/{instances['wanted']}",
        str(row["release"] or "-"),
        str(row["generation"]),
        str(row["restarts"]),
        output.duration(row["uptime_s"]),  # type: ignore[arg-type]  # JSON
        _count(row["requests"]),
        under_way.summary(row),
        f"{row['cpu_percent']}%",
        output.size(row["memory_bytes"]),  # type: ignore[arg-type]  # JSON
        ", ".join(addresses) or "-",
    ]
