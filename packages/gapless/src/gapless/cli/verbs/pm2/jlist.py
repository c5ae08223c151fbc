"""List the instances in the format of `pm2 jlist`, one item per instance."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import shlex
import shutil
import uuid
from datetime import datetime
from typing import Any

from gapless.base import home
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
        "name": _alias(described),
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
    log = described["logs_by_instance"][ordinal]
    restart = spec["restart"]
    started = instance["started_at"] if instance else described["since"]
    restarts = instance["restarts"] if instance else described["restarts"]
    options, script, arguments = _parts(spec)
    number = spec["instance_variable"] or "NODE_APP_INSTANCE"
    variables = _variables(spec, ordinal, identity)
    return {
        # As in PM2: its variables, and over them what PM2 says of it.
        **variables,
        "name": _alias(described),
        # By what its reports and logs name it: several may have one name of PM2's.
        "gapless_app": described["name"],
        "namespace": spec["namespace"],
        "pm_id": identity,
        "status": _status(described, instance),
        "restart_time": restarts
        + described.get("replaced", 0)
        + _is_proving(described),
        "unstable_restarts": 0,
        "created_at": _milliseconds(described["since"]),
        "pm_uptime": _milliseconds(started),
        "exec_mode": f"{spec['mode']}_mode",
        "exec_interpreter": _interpreter(spec, script),
        "pm_exec_path": script,
        "pm_cwd": spec["declared_directory"],
        **({} if _is_unset(spec, "node_args") else {"node_args": options}),
        "args": arguments,
        "username": spec["user"] or _username(),
        "unique_id": _unique_id(described["name"], identity),
        "instances": len(described["ids"]),
        # As in PM2 beside the variables, not among them.
        number: ordinal,
        "instance_var": number,
        "pm_out_log_path": log["output"],
        "pm_err_log_path": log["error"],
        **({"pm_log_path": log["combined"]} if log["combined"] else {}),
        "pm_pid_path": log["pid_file"],
        "autorestart": restart["automatic"],
        "autostart": spec["autostart"],
        "watch": bool(spec["renew"]["watch"]) and described["status"] != "stopped",
        "merge_logs": not spec["log"]["by_instance"],
        "vizion": True,
        "pmx": True,
        "treekill": spec["stop"]["tree"],
        "kill_timeout": round(spec["stop"]["kill_timeout_s"] * 1000),
        "wait_ready": spec["ready"]["when"] == "notify",
        "axm_monitor": instance.get("metrics", {}) if instance else {},
        "axm_actions": [
            {"action_name": name, "arity": arity}
            for name, arity in (instance.get("actions", {}) if instance else {}).items()
        ],
        "axm_options": {"module_name": _alias(described)},
        "axm_dynamic": {},
        "exit_code": described["exit_code"],
        "version": described["release"] or "N/A",
        "env": variables,
    }


def _alias(described: dict[str, Any]) -> str:
    """Return the name that PM2 would have; a supervisor of before has no other."""
    return str(described.get("alias") or described["name"])


def _is_proving(described: dict[str, Any]) -> bool:
    """Return whether processes serve that are counted when they have proven themselves."""
    return any(each["role"] == "proving" for each in described["generations"])


def _status(described: dict[str, Any], instance: dict[str, Any] | None) -> str:
    if instance is not None:
        return _PHASES[instance["phase"]]
    if described["status"] == "gave up":
        return "errored"
    return "stopped" if described["status"] == "stopped" else "waiting restart"


def _parts(spec: dict[str, Any]) -> tuple[list[str], str, list[str]]:
    """Return the interpreter's options, the path of the script, and its arguments."""
    command = [str(word) for word in spec["command"]]
    options = json.loads(dict(spec.get("arguments", ())).get("node_args", "[]")) or []
    declared = len(shlex.split(options) if isinstance(options, str) else options)
    for at, word in enumerate(command[1:], 1):
        path = os.path.join(spec["directory"], word)
        is_script = at > declared if declared else not word.startswith("-")
        if is_script and os.path.isfile(path):
            return command[1:at], path, command[at + 1 :]
    program = os.path.join(spec["directory"], command[0])
    found = program if os.path.exists(program) else shutil.which(command[0])
    return [], found or command[0], command[1:]


def _is_unset(spec: dict[str, Any], option: str) -> bool:
    """Return whether an option was taken back: PM2 has no such key then."""
    return dict(spec.get("arguments", ())).get(option) == "null"


def _interpreter(spec: dict[str, Any], script: str) -> str:
    program = str(spec["command"][0])
    is_script = os.path.basename(program) == os.path.basename(script)
    return "none" if is_script else os.path.basename(program)


def _variables(spec: dict[str, Any], ordinal: int, identity: int) -> dict[str, Any]:
    """Return the variables of an instance, those that are added to them as well."""
    found = dict(spec["environment"])
    if counted := spec["increment_variable"]:
        first = str(found.get(counted, "0"))
        if first.lstrip("-").isdigit():
            found[counted] = int(first) + ordinal
    return {
        **found,
        "PM2_HOME": home.path(),
        "unique_id": _unique_id(spec["name"], identity),
    }


def _unique_id(name: str, identity: int) -> str:
    """Return a word of its own for each instance, the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{home.path()}/{name}/{identity}"))


def _username() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _milliseconds(stamp: str | None) -> int:
    return round(datetime.fromisoformat(stamp).timestamp() * 1000) if stamp else 0
