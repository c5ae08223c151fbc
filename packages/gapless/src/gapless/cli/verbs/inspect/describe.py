"""Everything about one app."""

from __future__ import annotations

import argparse
from typing import Any

from gapless.cli import output, progress, selection, under_way
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `describe` understands."""
    selection.add(parser, several=False)


def run(asked: argparse.Namespace) -> int:
    """Describe one app."""
    client = Client()
    app = selection.one_name(client, asked.app)
    found = client.request("describe", app=app)
    if asked.json:
        output.as_json(found)
        return 0
    wanted = found["spec"]
    rows = {
        "status": found["status"],
        "reason": found["reason"],
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
        "waits for": _waits_for(wanted),
        "namespace": wanted["namespace"],
        "renewed": _renew(wanted["renew"]),
        "variables": ", ".join(wanted["configured"]) or "none configured",
        "logs": ", ".join(found["logs"]),
    }
    print(output.paint(app, "bold"))
    for name, value in rows.items():
        if value not in (None, ""):
            print(f"  {name:<14} {value}")
    _tables(found)
    _under_way(found)
    if found["last_report"]:
        print("last operation")
        progress.show_report(found["last_report"])
    return 0


def _renew(renew: dict[str, Any]) -> str:
    said = []
    if renew["memory_bytes"]:
        said.append(f"beyond {output.size(renew['memory_bytes'])} of memory")
    if renew["cron"]:
        said.append(f"by the clock: {renew['cron']}")
    if renew["watch"]:
        said.append(f"when {', '.join(renew['watch'])} changes")
    return "; ".join(said)


def _ready(ready: dict[str, Any]) -> str:
    what = f"GET {ready['path']}" if ready["when"] == "http" else ready["when"]
    return f"{what}, within {ready['timeout_s']:g} s"


def _waits_for(wanted: dict[str, Any]) -> str:
    ports = ", ".join(map(str, wanted["outgoing"]))
    return f"answers from others' ports {ports}" if ports else ""


def _stop(stop: dict[str, Any]) -> str:
    drain_s, kill_s = stop["drain_timeout_s"], stop["kill_timeout_s"]
    return f"{stop['signal']}, drain {drain_s:g} s, kill {kill_s:g} s"


def _counted(instance: dict[str, Any]) -> str:
    counts, mode = instance["counts"], instance["mode"]
    if counts is None:
        return "-"
    drains = f", drains ({mode})" if mode != "serving" else ""
    requests = output.count(counts["requests"], "request")
    return f"{requests}, {output.count(counts['procedures'], 'procedure')}{drains}"


def _under_way(found: dict[str, Any]) -> None:
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
        output.table(["instance", "under way", "since", "for", "name"], rows)


def _tables(found: dict[str, Any]) -> None:
    if found["generations"]:
        print()
        rows = [
            [
                str(g["generation"]),
                g["role"],
                g["release"] or "-",
                ", ".join(
                    f"{s['address']} ({s['queued']} queued)" for s in g["sockets"]
                ),
            ]
            for g in found["generations"]
        ]
        output.table(["generation", "role", "release", "listens on"], rows)
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
                f"{i['connections']} ({i['busy']} busy)",
                _counted(i),
                i["status_text"],
            ]
            for i in found["instances_detail"]
        ]
        headings = (
            "instance pid phase uptime cpu memory processes connections counts says"
        )
        output.table(headings.split(), rows)
