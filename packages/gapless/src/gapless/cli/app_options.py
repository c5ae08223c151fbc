"""Options of the command line that say what an app is: PM2's fields, PM2's spellings."""

from __future__ import annotations

import argparse
from typing import Any

_TEXTS = {
    "name": ("-n", "--name"),
    "namespace": ("-N", "--namespace"),
    "instances": ("-i", "--instances"),
    "cwd": ("--cwd",),
    "exec_interpreter": ("--interpreter",),
    "node_args": ("--node-args", "--interpreter-args"),
    "out_file": ("-o", "--output"),
    "error_file": ("-e", "--error"),
    "log_file": ("-l", "--log"),
    "log_date_format": ("--log-date-format",),
    "log_type": ("--log-type",),
    "pid_file": ("-p", "--pid"),
    "max_restarts": ("--max-restarts",),
    "min_uptime": ("--min-uptime",),
    "restart_delay": ("--restart-delay",),
    "exp_backoff_restart_delay": ("--exp-backoff-restart-delay",),
    "max_memory_restart": ("--max-memory-restart",),
    "cron_restart": ("-c", "--cron", "--cron-restart"),
    "kill_timeout": ("-k", "--kill-timeout"),
    "listen_timeout": ("--listen-timeout",),
    "watch_delay": ("--watch-delay",),
    "instance_var": ("--instance-var",),
    "increment_var": ("--increment-var",),
    "port": ("--port",),
    "uid": ("-u", "--uid", "--user"),
    "gid": ("--gid",),
}
_LISTS = {
    "stop_exit_codes": ("--stop-exit-codes",),
    "ignore_watch": ("--ignore-watch",),
    "filter_env": ("--filter-env",),
}
_FLAGS = {
    "time": ("--time",),
    "merge_logs": ("--merge-logs",),
    "disable_logs": ("--disable-logs",),
    "wait_ready": ("--wait-ready",),
    "shutdown_with_message": ("--shutdown-with-message",),
}
_DENIALS = {
    "autorestart": ("--no-autorestart",),
    "autostart": ("--no-autostart",),
    "treekill": ("--no-treekill",),
}


_METAVARS = {
    "instances": "N",
    "exec_interpreter": "PROGRAM",
    "cwd": "DIR",
    "max_restarts": "N",
    "min_uptime": "MS",
    "restart_delay": "MS",
    "exp_backoff_restart_delay": "MS",
    "kill_timeout": "MS",
    "listen_timeout": "MS",
    "watch_delay": "MS",
    "max_memory_restart": "SIZE",
    "cron_restart": "TIMES",
    "instance_var": "NAME",
    "increment_var": "NAME",
    "uid": "USER",
    "gid": "GROUP",
    "stop_exit_codes": "CODE",
    "ignore_watch": "PATH",
    "filter_env": "NAME",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Add them all."""
    group = parser.add_argument_group(
        "what the app is", "as the fields of docs/pm2.md; above those of a PM2 file"
    )
    for name, spellings in _TEXTS.items():
        group.add_argument(*spellings, dest=name, metavar=_metavar(name))
    for name, spellings in _LISTS.items():
        group.add_argument(*spellings, dest=name, nargs="+", metavar=_metavar(name))
    for name, spellings in _FLAGS.items():
        group.add_argument(*spellings, dest=name, action="store_true", default=None)
    for name, spellings in _DENIALS.items():
        group.add_argument(*spellings, dest=name, action="store_false", default=None)
    group.add_argument(
        "--watch", dest="watch", nargs="*", metavar="PATH", help="renew on a change"
    )


def fields(asked: argparse.Namespace) -> dict[str, Any]:
    """Return what was said, by the names of the fields."""
    named = (*_TEXTS, *_LISTS, *_FLAGS, *_DENIALS)
    found = {
        name: value
        for name in named
        if (value := getattr(asked, name, None)) is not None
    }
    if (watch := getattr(asked, "watch", None)) is not None:
        found["watch"] = watch or True
    return found


def _metavar(name: str) -> str:
    return _METAVARS.get(name) or name.rpartition("_")[2].upper()
