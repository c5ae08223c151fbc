"""Show everything about one app."""

from __future__ import annotations

import argparse
from typing import Any

from gapless.base.errors import DONE
from gapless.cli import arguments, output, selection
from gapless.cli.display import instances, reports
from gapless.cli.display.secrets import shown
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `describe`."""
    arguments.add_app(parser)
    arguments.add_json(parser)
    arguments.add_show_secrets(parser)


def run(args: argparse.Namespace) -> int:
    """Show one app."""
    client = Client(starts=False)
    app = selection.one_name(client, args.app)
    found = shown(args, client.request("describe", app=app))
    if args.json:
        output.print_json(found)
        return DONE
    wanted = found["spec"]
    rows = {
        "PM2's name": wanted.get("alias"),
        "status": found["status"],
        "reason": found["reason"],
        "hint": _hint(found),
        "release": found["release"],
        "generation": found["generation"],
        "since": found["since"],
        "restarts": _restarts(found),
        "command": " ".join(wanted["command"]),
        "directory": f"{wanted['declared_directory']} -> {wanted['directory']}",
        "configuration": wanted["config_file"] or "(command line)",
        "listens on": ", ".join(found["addresses"]) or "none",
        "ready when": _ready(wanted["ready"]),
        "alive while": _alive(wanted, found),
        "stop": _stop(wanted["stop"]),
        "waits for": _outgoing(wanted),
        "limits": _limits(wanted["limits"], found.get("limits_trouble")),
        "after": ", ".join(wanted.get("after", [])),
        "last exits": _last_exits(found.get("seats", [])),
        "shared files": ", ".join(wanted.get("shared_files", ())),
        "takeover": _takeover(wanted, found.get("takeover_trouble")),
        "affinity": _affinity(wanted),
        "shares ports": _share_ports(wanted),
        "namespace": wanted["namespace"],
        "renewal": _renewal(wanted["renew"]),
        "variables": ", ".join(wanted["configured"]) or "none configured",
        "variables of": ", ".join(wanted.get("environment_files", ())),
        "user": _user(wanted),
        "umask": wanted.get("umask"),
        "logs": ", ".join(found["logs"]),
        "lines lost": found.get("log_lines_lost") or None,
    }
    print(output.paint(app, "bold"))
    for name, value in rows.items():
        if value not in (None, ""):
            print(f"  {name:<14} {value}")
    instances.print_tables(found)
    instances.print_under_way(found)
    instances.print_killed(found)
    instances.print_metrics(found)
    for generation in found["generations"]:
        for remark in generation.get("order_remarks", ()):
            print(f"generation {generation['generation']}: {remark}")
    if found["last_report"]:
        print("last operation")
        reports.print_report(found["last_report"])
    return DONE


def _restarts(found: dict[str, Any]) -> str:
    """Return how many restarts there were, and for which reasons."""
    reasons = [
        f"{count} by {why}" for why, count in found.get("restarts_by", {}).items()
    ]
    return f"{found['restarts']}" + (f" ({', '.join(reasons)})" if reasons else "")


def _alive(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """Return when an instance counts as hanging; nothing if it is not asked."""
    alive = wanted.get("alive")
    if alive is None or alive["when"] == "never":
        return ""
    what = f"GET {alive['path']} passes"
    if alive["when"] == "listening":
        what = "a connection is accepted"
    if not found["addresses"]:
        return f"{what}: not asked, it listens nowhere"
    rule = f"{what} within {alive['timeout_s']:g} s, asked every {alive['every_s']:g} s"
    return f"{rule}; {alive['failures']} failures in a row"


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


def _user(wanted: dict[str, Any]) -> str:
    user, group = str(wanted["user"]), wanted["group"]
    return user + (f", group {group}" if group else "")


def _ready(ready: dict[str, Any]) -> str:
    what = f"GET {ready['path']}" if ready["when"] == "http" else ready["when"]
    return f"{what}, within {ready['timeout_s']:g} s"


def _limits(limits: dict[str, Any], trouble: str | None) -> str:
    """Return the limits of an instance: of its processes, and of all of it."""
    memory, cpu = limits.get("memory_bytes"), limits.get("cpu_percent")
    found = [f"{output.size(memory)} of memory"] if memory else []
    found += [f"{cpu:g}% of a processor"] if cpu else []
    found += [
        f"{name} {limits[name]}"
        for name in ("open_files", "processes", "core_bytes")
        if limits.get(name) is not None
    ]
    text = ", ".join(found) and f"{', '.join(found)} for each instance"
    return f"{text}; {trouble}" if trouble else text


def _last_exits(seats: list[dict[str, Any]]) -> str:
    return "; ".join(
        f"instance {each['generation']}.{each['ordinal']} {each['last_exit']}"
        for each in seats
        if each["last_exit"]
    )


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


def _affinity(wanted: dict[str, Any]) -> str:
    """Return how clients come to instances; nothing if any gets any."""
    if wanted.get("affinity", "none") == "none":
        return ""
    return "each source address has its instance"


def _share_ports(wanted: dict[str, Any]) -> str:
    """Return who may listen on the same addresses; nothing if no other app may."""
    word = wanted.get("share_ports")
    return f'with apps of share_ports = "{word}"' if word else ""


def _stop(stop: dict[str, Any]) -> str:
    drain_s, kill_s = stop["drain_timeout_s"], stop["kill_timeout_s"]
    return f"{stop['signal']}, drain {drain_s:g} s, kill {kill_s:g} s"
