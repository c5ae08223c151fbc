"""Options that describe an app on the command line: PM2's fields in PM2's spellings.

Their defaults are those of docs/pm2.md.
"""

from __future__ import annotations

import argparse
from typing import Any

_VALUES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "name": (
        ("-n", "--name"),
        "NAME",
        "the name of the app, or which app of a gapless.toml",
    ),
    "namespace": (("-N", "--namespace"), "NAME", "a word that names several apps"),
    "instances": (
        ("-i", "--instances"),
        "N",
        "how many; of a script or a PM2 file also 0 or max, one per CPU, and -1, one less",
    ),
    "cwd": (("--cwd",), "DIR", "the working directory"),
    "exec_interpreter": (
        ("--interpreter",),
        "PROGRAM",
        "the program that runs the script; none: the script itself",
    ),
    "node_args": (
        ("--node-args", "--interpreter-args"),
        "ARGS",
        "arguments before the script",
    ),
    "out_file": (("-o", "--output"), "FILE", "the log of standard output"),
    "error_file": (("-e", "--error"), "FILE", "the log of standard error"),
    "log_file": (("-l", "--log"), "FILE", "a log of both"),
    "log_date_format": (
        ("--log-date-format",),
        "FORMAT",
        "a time before every line, in tokens of day.js",
    ),
    "log_type": (("--log-type",), "TYPE", "json: one object per line"),
    "pid_file": (("-p", "--pid"), "FILE", "a file with the pid of the app"),
    "max_restarts": (
        ("--max-restarts",),
        "N",
        "give up after so many failed starts in a row",
    ),
    "min_uptime": (
        ("--min-uptime",),
        "MS",
        "a start has failed if the app ends within so many milliseconds",
    ),
    "restart_delay": (
        ("--restart-delay",),
        "MS",
        "milliseconds before each restart",
    ),
    "exp_backoff_restart_delay": (
        ("--exp-backoff-restart-delay",),
        "MS",
        "milliseconds before the first restart; half as many more each time",
    ),
    "max_memory_restart": (
        ("--max-memory-restart",),
        "SIZE",
        "hand over to a new generation beyond this memory, for example 200M",
    ),
    "cron_restart": (
        ("-c", "--cron", "--cron-restart"),
        "TIMES",
        "hand over to a new generation at these times, as in crontab(5)",
    ),
    "kill_timeout": (
        ("-k", "--kill-timeout"),
        "MS",
        "milliseconds from the stop signal to SIGKILL",
    ),
    "listen_timeout": (
        ("--listen-timeout",),
        "MS",
        "a start has failed if the app is not ready in so many milliseconds",
    ),
    "watch_delay": (
        ("--watch-delay",),
        "MS",
        "milliseconds without a change before --watch acts",
    ),
    "instance_var": (
        ("--instance-var",),
        "NAME",
        "the variable with the number of the instance",
    ),
    "increment_var": (
        ("--increment-var",),
        "NAME",
        "a variable that is larger by one in each instance",
    ),
    "port": (("--port",), "PORT", "the value of the variable PORT"),
    "uid": (
        ("-u", "--uid", "--user"),
        "USER",
        "the user of the instances; needs root",
    ),
    "gid": (("--gid",), "GROUP", "the group of the instances; needs root"),
}
_LISTS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "stop_exit_codes": (
        ("--stop-exit-codes",),
        "CODE",
        "stop, do not restart, after these exit codes",
    ),
    "ignore_watch": (("--ignore-watch",), "PATH", "paths that --watch ignores"),
    "filter_env": (
        ("--filter-env",),
        "NAME",
        "leave out the variables of the shell whose name contains NAME",
    ),
}
_FLAGS = {
    "time": ("--time", "the time before every line of the logs"),
    "source_map_support": (
        "--source-map-support",
        "let Node name the sources in stack traces",
    ),
    "disable_source_map_support": (
        "--disable-source-map-support",
        "leave stack traces as they are, also where there is a map",
    ),
    "merge_logs": ("--merge-logs", "one log for all instances"),
    "disable_logs": ("--disable-logs", "keep no logs"),
    "wait_ready": (
        "--wait-ready",
        "the app is ready when it sends Node's message ready",
    ),
    "shutdown_with_message": (
        "--shutdown-with-message",
        "stop with a message to Node in place of a signal",
    ),
}
_DENIALS = {
    "autorestart": ("--no-autorestart", "do not restart the app when it has ended"),
    "autostart": ("--no-autostart", "add the app to the list, and do not start it"),
    "treekill": ("--no-treekill", "signal only the leader of an instance"),
    "pmx": ("--no-pmx", "a fork ends by an unhandled rejection, as without PM2"),
}


def add(parser: argparse.ArgumentParser) -> None:
    """Add all of these options."""
    group = parser.add_argument_group(
        "the app", "as the fields of docs/pm2.md; above those of a PM2 file"
    )
    for name, (spellings, metavar, text) in _VALUES.items():
        group.add_argument(*spellings, dest=name, metavar=metavar, help=text)
    for name, (spellings, metavar, text) in _LISTS.items():
        group.add_argument(*spellings, dest=name, nargs="+", metavar=metavar, help=text)
    for name, (spelling, text) in _FLAGS.items():
        group.add_argument(
            spelling, dest=name, action="store_true", default=None, help=text
        )
    for name, (spelling, text) in _DENIALS.items():
        group.add_argument(
            spelling, dest=name, action="store_false", default=None, help=text
        )
    group.add_argument(
        "--watch",
        dest="watch",
        nargs="*",
        metavar="PATH",
        help="hand over to a new generation when a file changes; "
        "default: below the working directory",
    )


def fields(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, by the names of the fields."""
    named = (*_VALUES, *_LISTS, *_FLAGS, *_DENIALS)
    found = {
        name: value
        for name in named
        if (value := getattr(args, name, None)) is not None
    }
    if (watch := getattr(args, "watch", None)) is not None:
        found["watch"] = watch or True
    return found
