"""Show everything about one app."""

from __future__ import annotations

import argparse
from typing import Any

from gapless.base.errors import DONE
from gapless.cli import arguments, output, selection
from gapless.cli.display import instances, reports
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `describe`."""
    arguments.add_app(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show one app."""
    client = Client(starts=False)
    app = selection.one_name(client, args.app)
    found = client.request("describe", app=app)
    if args.json:
        output.print_json(found)
        return DONE
    wanted = found["spec"]
    rows = {
        "status": found["status"],
        "reason": found["reason"],
        "hint": _hint(found),
        "release": found["release"],
        "generation": found["generation"],
        "since": found["since"],
        "restarts": found["restarts"],
        "command": " ".join(wanted["command"]),
        "directory": f"{wanted['declared_directory']} -> {wanted['directory']}",
        "configuration": wanted["config_file"] or "(command line)",
        "addresses": ", ".join(found["addresses"]) or "none",
        "ready when": _ready(wanted["ready"]),
        "stop": _stop(wanted["stop"]),
        "waits for": _outgoing(wanted),
        "shared files": ", ".join(wanted.get("shared_files", ())),
        "takeover": _takeover(wanted, found.get("takeover_trouble")),
        "namespace": wanted["namespace"],
        "renewal": _renewal(wanted["renew"]),
        "variables": ", ".join(wanted["configured"]) or "none configured",
        "logs": ", ".join(found["logs"]),
        "lines lost": found.get("log_lines_lost") or None,
    }
    print(output.paint(app, "bold"))
    for name, value in rows.items():
        if value not in (None, ""):
            print(f"  {name:<14} {value}")
    instances.print_tables(found)
    instances.print_under_way(found)
    if found["last_report"]:
        print("last operation")
        reports.print_report(found["last_report"])
    return DONE


def _hint(found: dict[str, Any]) -> str | None:
    """Return what to do about its failure, unless the last report says the same."""
    hint: str | None = found.get("hint")
    return None if hint == (found["last_report"] or {}).get("hint") else hint


def _renewal(renew: dict[str, Any]) -> str:
    causes = []
    if renew["memory_bytes"]:
        causes.append(f"beyond {output.size(renew['memory_bytes'])} of memory")
    if renew["cron"]:
        causes.append(f"by the clock: {renew['cron']}")
    if renew["watch"]:
        causes.append(f"when {', '.join(renew['watch'])} changes")
    return "; ".join(causes)


def _ready(ready: dict[str, Any]) -> str:
    what = f"GET {ready['path']}" if ready["when"] == "http" else ready["when"]
    return f"{what}, within {ready['timeout_s']:g} s"


def _outgoing(wanted: dict[str, Any]) -> str:
    ports = ", ".join(map(str, wanted["outgoing"]))
    return f"answers from ports {ports}" if ports else ""


def _takeover(wanted: dict[str, Any], trouble: str | None) -> str:
    """Return what becomes of open connections when a generation ends."""
    if wanted.get("takeover") == "never":
        return "off"
    if trouble:
        return f"off: {trouble}"
    return "open connections are taken over, each when it is idle"


def _stop(stop: dict[str, Any]) -> str:
    drain_s, kill_s = stop["drain_timeout_s"], stop["kill_timeout_s"]
    return f"{stop['signal']}, drain {drain_s:g} s, kill {kill_s:g} s"
