"""PM2's options: what each is called, whether it takes a value, and what it sets.

Those that describe an app set a field of a declaration (docs/pm2.md); the rest is read by
the verbs.  An option without effect is accepted, since PM2 accepts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Takes(Enum):
    """What follows an option."""

    NOTHING = "nothing"
    VALUE = "a value"
    MAYBE = "a value, unless it is the next option or what the command is about"
    CODES = "a value, and more of them while they are numbers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option."""

    spellings: tuple[str, ...]
    sets: str
    """A field of a declaration, or a name that verbs read; empty: it has no effect."""
    takes: Takes = Takes.VALUE
    to: object = True
    """What an option without a value sets."""


_VALUES = {
    "name": "-n --name",
    "namespace": "-N --namespace",
    "instances": "-i --instances",
    "cwd": "--cwd",
    "exec_interpreter": "--interpreter",
    "node_args": "--node-args --interpreter-args",
    "out_file": "-o --output",
    "error_file": "-e --error",
    "log_date_format": "--log-date-format",
    "log_type": "--log-type",
    "pid_file": "-p --pid",
    "max_restarts": "--max-restarts",
    "min_uptime": "--min-uptime",
    "restart_delay": "--restart-delay",
    "exp_backoff_restart_delay": "--exp-backoff-restart-delay",
    "max_memory_restart": "--max-memory-restart",
    "cron_restart": "-c --cron --cron-restart",
    "kill_timeout": "-k --kill-timeout",
    "listen_timeout": "--listen-timeout",
    "watch_delay": "--watch-delay",
    "instance_var": "--instance-var",
    "increment_var": "--increment-var",
    "uid": "--uid",
    "gid": "--gid",
    "env": "--env",
    "only": "--only",
    "port": "--port",
    "user": "-u --user",
    "home": "--hp",
    "unit": "--service-name",
    "lines": "--lines",
    "username": "--basic-auth-username",
    "password": "--basic-auth-password",
    "sort": "--sort",
    "": "--parallel --ext --machine-name --secret --public --delay",
}
_LISTS = {"ignore_watch": "--ignore-watch", "filter_env": "--filter-env"}
_MAYBE = {
    "watch": "--watch",
    "log_file": "-l --log",
    "timestamp": "--timestamp",
    "highlight": "--highlight",
    "": "--monitor",
}
_FLAGS = {
    "time": "--time",
    "source_map_support": "--source-map-support",
    "disable_source_map_support": "--disable-source-map-support",
    "merge_logs": "--merge-logs",
    "disable_logs": "--disable-logs",
    "wait_ready": "--wait-ready",
    "shutdown_with_message": "--shutdown-with-message",
    "force": "-f --force",
    "update_env": "-a --update-env",
    "foreground": "--no-daemon",
    "wait_ip": "--wait-ip",
    "nostream": "--nostream",
    "only_error": "--err",
    "only_output": "--out",
    "raw": "--raw",
    "json": "--json",
    "as_pairs": "--format",
    "listing": "--ftp",
    "spa": "--spa",
    "help": "-h --help",
    "version": "-v -V --version",
    "": "-s --silent -m --mini-list --attach -x --execute-command -w --write"
    " --no-color --no-prefix --no-vizion --no-automation --trace"
    " --disable-trace --v8 --event-loop-inspector --deep-monitoring --container"
    " --web --dist --ignore-shell --auto-exit --no-auto-exit",
}
_DENIALS = {
    "autorestart": "--no-autorestart",
    "autostart": "--no-autostart",
    "treekill": "--no-treekill",
    "pmx": "--no-pmx",
}


def _table() -> dict[str, Option]:
    found = [
        *(Option(spellings=tuple(w.split()), sets=n) for n, w in _VALUES.items()),
        *(Option(spellings=tuple(w.split()), sets=n) for n, w in _LISTS.items()),
        *(
            Option(spellings=tuple(w.split()), sets=n, takes=Takes.MAYBE)
            for n, w in _MAYBE.items()
        ),
        *(
            Option(spellings=tuple(w.split()), sets=n, takes=Takes.NOTHING)
            for n, w in _FLAGS.items()
        ),
        *(
            Option(spellings=(word,), sets=name, takes=Takes.NOTHING, to=False)
            for name, word in _DENIALS.items()
        ),
        Option(
            spellings=("--stop-exit-codes",), sets="stop_exit_codes", takes=Takes.CODES
        ),
    ]
    return {spelling: each for each in found for spelling in each.spellings}


BY_SPELLING = _table()
LISTS = frozenset(_LISTS)
"""Fields whose value is a list: words between commas or spaces."""
FIELDS = frozenset(
    {
        *(name for name in _VALUES if name),
        *_LISTS,
        *("watch", "log_file", "stop_exit_codes", *_DENIALS),
        *("source_map_support", "disable_source_map_support"),
        *("time", "merge_logs", "disable_logs", "wait_ready", "shutdown_with_message"),
    }
) - {
    *("env", "only", "port", "user", "home", "unit", "lines", "username", "password"),
    "sort",
}
"""What describes an app."""
