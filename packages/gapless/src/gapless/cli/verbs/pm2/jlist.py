"""List the instances in the format of `pm2 jlist`, one item per instance."""

from __future__ import annotations

import argparse
import os
from datetime import datetime
from typing import Any

from gapless.base.errors import DONE
from gapless.cli import arguments, output
from gapless.cli.display.secrets import shown
from gapless.client import Client

_PHASES = {"starting": "launching", "ready": "online", "draining": "stopping"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --show-secrets."""
    arguments.add_show_secrets(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    output.print_json(shown(args, items(Client(starts=False))))
    return DONE


def items(client: Client) -> list[dict[str, Any]]:
    """Return the items, with the keys that tools for `pm2 jlist` read."""
    found = []
    for row in client.request("list")["apps"]:
        described = client.request("describe", app=row["name"])
        found += [
            _item(described, number, identity)
            for number, identity in enumerate(row["ids"])
        ]
    return sorted(found, key=lambda item: int(item["pm_id"]))


def _item(described: dict[str, Any], ordinal: int, identity: int) -> dict[str, Any]:
    own = [i for i in described["instances_detail"] if i["ordinal"] == ordinal]
    # PM2 has one process per id: here the newest that serves, else the newest.
    serving = [i for i in own if i["phase"] == "ready"]
    instance = (serving or own or [None])[-1]
    usage = {"memory": 0, "cpu": 0}
    if instance is not None:
        usage = {"memory": instance["memory_bytes"], "cpu": instance["cpu_percent"]}
    return {
        "pid": instance["pid"] if instance else 0,
        "name": described["name"],
        "pm2_env": _env(described, ordinal, identity, instance),
        "pm_id": identity,
        "monit": usage,
    }


def _env(
    described: dict[str, Any],
    ordinal: int,
    identity: int,
    instance: dict[str, Any] | None,
) -> dict[str, Any]:
    spec = described["spec"]
    command = spec["command"]
    log = described["logs_by_instance"][ordinal]
    restart = spec["restart"]
    started = instance["started_at"] if instance else described["since"]
    return {
        "name": described["name"],
        "namespace": spec["namespace"],
        "pm_id": identity,
        "status": _status(described, instance),
        "restart_time": instance["restarts"] if instance else described["restarts"],
        "unstable_restarts": 0,
        "created_at": _milliseconds(described["since"]),
        "pm_uptime": _milliseconds(started),
        "exec_mode": f"{spec['mode']}_mode",
        "exec_interpreter": os.path.basename(command[0])
        if len(command) > 1
        else "none",
        "pm_exec_path": _script(spec),
        "pm_cwd": spec["declared_directory"],
        "args": command[2:],
        "instances": len(described["ids"]),
        "NODE_APP_INSTANCE": ordinal,
        "instance_var": spec["instance_variable"] or "NODE_APP_INSTANCE",
        "pm_out_log_path": log["output"],
        "pm_err_log_path": log["error"],
        **({"pm_log_path": log["combined"]} if log["combined"] else {}),
        "pm_pid_path": log["pid_file"],
        "autorestart": restart["automatic"],
        "autostart": spec["autostart"],
        "watch": bool(spec["renew"]["watch"]),
        "treekill": spec["stop"]["tree"],
        "kill_timeout": round(spec["stop"]["kill_timeout_s"] * 1000),
        "wait_ready": spec["ready"]["when"] == "notify",
        "exit_code": described["exit_code"],
        "version": described["release"] or "N/A",
        "env": {name: spec["environment"].get(name, "") for name in spec["configured"]},
    }


def _status(described: dict[str, Any], instance: dict[str, Any] | None) -> str:
    if instance is not None:
        return _PHASES[instance["phase"]]
    if described["status"] == "gave up":
        return "errored"
    return "stopped" if described["status"] == "stopped" else "waiting restart"


def _script(spec: dict[str, Any]) -> str:
    command = spec["command"]
    words = [word for word in command[1:] if not word.startswith("-")]
    script = words[0] if words else command[0]
    path = os.path.join(spec["directory"], script)
    return path if os.path.exists(path) else str(command[0])


def _milliseconds(stamp: str | None) -> int:
    return round(datetime.fromisoformat(stamp).timestamp() * 1000) if stamp else 0
