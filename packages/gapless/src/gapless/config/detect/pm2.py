"""A gapless.toml for what a file for PM2 declares: the same specs, in our keys.  Pure.

Rule 1: a key is written where its value is not the default of a gapless.toml.  So what PM2
would do by itself (SIGINT, 1.6 s) is written too: the apps stop as before.
Rule 2: what has no key here is a comment beside the app that had it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from gapless.config.detect.text import in_comment, toml_key, toml_text
from gapless.config.pm2.declaration import Declaration
from gapless.config.toml.schema import OVERLAP, TAKEOVER
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.spec import AppSpec

_MIB = 1 << 20
_MOST_IN_LINE = 3
"""So many variables stand in one line; more have a table of their own."""
_SAME = (
    *("namespace", "drops", "outgoing", "min_healthy_s", "shared_files"),
    *(
        "interception",
        "checks_port",
        "share_ports",
        "preload",
        "instance_variable",
        "increment_variable",
    ),
    *("user", "group", "umask", "after"),
)
"""Keys that have the name of their field, and its value."""
_DEFAULT = AppSpec(name="", command=(), directory="")
_LOG_FIELDS = ("output", "error", "combined")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """An app: what it is asked to be, and what PM2's file says of it."""

    spec: AppSpec
    declaration: Declaration


def write(
    file: str, profile: str, apps: Sequence[Declared], warnings: Sequence[str]
) -> str:
    """Return the content of a gapless.toml that stands beside *file*.

    *file* is an absolute path; *profile* is the NAME of the env_NAME that was laid over.
    """
    name = os.path.basename(file)
    over = f", with env_{profile}" if profile else ""
    names = [each.spec.name for each in apps]
    lines = [
        f"# {in_comment(f'What {name} declares for PM2{over}, in the keys of gapless.')}",
        f"# gapless start           starts {in_comment(', '.join(names))}",
        f"# gapless reload {names[0]:<8} hands over to a new version, losing no request",
        "# gapless check           says what is wrong in this file",
        "# Output is in $GAPLESS_HOME/logs/NAME.log, with times, where no file is named.",
        "# Of PM2's own variables NODE_APP_INSTANCE alone is set (not name, pm_id); a pid",
        "# file is written where `pid_file` names one.",
    ]
    lines += [f"# Not taken over: {in_comment(each, 300)}" for each in warnings]
    for each in apps:
        lines += ["", *_table(each, os.path.dirname(file), profile)]
    return "\n".join(lines) + "\n"


def _table(app: Declared, folder: str, profile: str) -> Iterator[str]:
    built, declaration = app.spec, app.declaration
    key = f"app.{toml_key(built.name)}"
    yield f"[{key}]"
    for each in _remarks(app, profile):
        yield f"# {in_comment(each, 200)}"
    yield f"command = {_value(built.command)}"
    own = {name: built.environment[name] for name in built.configured}
    for name, value in _keys(built, declaration, folder).items():
        yield f"{name} = {_value(value)}"
    if own and len(own) <= _MOST_IN_LINE:
        yield f"environment = {_value(own)}"
    elif own:
        yield ""
        yield f"[{key}.environment]"
        for name, value in own.items():
            yield f"{toml_key(name)} = {_value(value)}"


def _remarks(app: Declared, profile: str) -> Iterator[str]:
    """Yield what has no key here."""
    declared, built = app.declaration, app.spec
    others = [each for each in declared.profiles if each != profile]
    for each in others:
        yield f"env_{each} is not in it: `gapless init --env {each}` lays it over"
    if built.survives_rejections:
        yield (
            "An unhandled rejection of a promise ends it, as Node does; under PM2 it went "
            'on: "--unhandled-rejections=warn" after "node" says so'
        )
    if not built.autostart:
        yield (
            f"autostart = false has no key: `gapless stop {built.name}` once, and it "
            "stays stopped"
        )
    own, ours = _files_of(built.log)
    if own and ours and not built.log.rotate_own:
        yield (
            "Its own log files are moved aside at 10 MB too, as gapless's are: "
            "`rotate_mb = 0` in `log` leaves all of them, also those of gapless"
        )
    if declared.get("log_file") is True and own:
        yield "log_file: true is not in it: `combined` in `log` names a file of both"
    if declared.get("filter_env"):
        yield "filter_env has no key: it inherits the variables of the shell"
    if built.log.format == "pm2-json":
        yield "PM2's log_type json has other names of fields than the format json here"


def _keys(built: AppSpec, declared: Declaration, folder: str) -> dict[str, Any]:
    """Return the keys of an app beside its command and its variables."""
    found: dict[str, Any] = {}
    directory = _below(built.declared_directory, folder)
    if directory != ".":
        found["directory"] = directory
    if built.instances != 1:
        found["instances"] = (
            "cpus" if declared.get("instances") == 0 else built.instances
        )
    for name in _SAME:
        if getattr(built, name) != getattr(_DEFAULT, name):
            value = getattr(built, name)
            found[name] = [*map(_port, value)] if name == "drops" else value
    if built.environment_files:
        files = built.environment_files
        found["environment_file"] = files[0] if len(files) == 1 else files
    if declared.get("pid_file"):
        found["pid_file"] = _below(built.pid_file, built.declared_directory)
    for name, words, value in (
        ("overlap", OVERLAP, built.overlap),
        ("takeover", TAKEOVER, built.takeover),
    ):
        if value is not getattr(_DEFAULT, name):
            found[name] = next(word for word, means in words.items() if means is value)
    if built.affinity is not spec.Affinity.NONE:
        found["affinity"] = built.affinity.value
    tables = {
        "ready": _ready(built.ready),
        "alive": _alive(built.alive),
        "stop": _different(built.stop, spec.Stop()),
        "restart": _restart(built.restart, declared),
        "log": _log(built, declared),
        "limits": _limits(built.limits),
        "renew": _renew(built),
    }
    return found | {name: table for name, table in tables.items() if table}


def _ready(ready: spec.Ready) -> Any:
    if ready.when is spec.When.HTTP:
        found: dict[str, Any] = {"http": ready.path}
    else:
        found = {} if ready.when is spec.When.AUTO else {"when": ready.when.value}
    if ready.timeout_s != spec.Ready().timeout_s:
        found["timeout_s"] = ready.timeout_s
    return found["when"] if found.keys() == {"when"} else found


def _alive(alive: spec.Alive) -> dict[str, Any]:
    if alive.when is spec.Asks.NEVER:
        return {}
    is_http = alive.when is spec.Asks.HTTP
    found: dict[str, Any] = {"http": alive.path} if is_http else {"when": "listening"}
    more = _different(alive, spec.Alive())
    return found | {k: v for k, v in more.items() if k not in ("when", "path")}


def _restart(restart: spec.Restart, declared: Declaration) -> dict[str, Any]:
    found = _different(restart, spec.Restart())
    found.pop("first", None)  # the keys say it
    if declared.get("max_restarts") is None and not restart.backoff_s:
        found.pop("max", None)  # PM2's default is one less than ours
    return found


def _log(built: AppSpec, declared: Declaration) -> dict[str, Any]:
    """Return the keys for what the file says of logs; the rest is as gapless does it."""
    log, found = built.log, dict[str, Any]()
    for name in _LOG_FIELDS:
        path = getattr(log, name)
        if path == "NULL":
            found[name] = path
        elif name in log.own:
            found[name] = _below(path, built.declared_directory)
    if log.date_format:
        found["date_format"] = log.date_format
    if log.format == "pm2-json":
        found["format"] = "json"
    elif log.own or log.date_format:
        found["format"] = log.format
    if log.by_instance and (log.own or declared.get("merge_logs") is False):
        found["by_instance"] = True
    default = spec.Log()
    own, ours = _files_of(log)
    if own and not ours and not log.rotate_own:
        found["rotate_mb"] = 0
    elif log.rotate_bytes != default.rotate_bytes:
        found["rotate_mb"] = log.rotate_bytes / _MIB
    if log.rotate_s:
        found["rotate_hours"] = log.rotate_s / 3600
    if log.keep != default.keep:
        found["keep"] = log.keep
    return found


def _files_of(log: spec.Log) -> tuple[list[str], list[str]]:
    """Return what of an app's output goes to files of the user's, and what to ours."""
    written = [name for name in _LOG_FIELDS if getattr(log, name) not in ("", "NULL")]
    own = [name for name in written if name in log.own]
    return own, [e for e in ("output", "error") if e in written and e not in own]


def _limits(limits: spec.Limits) -> dict[str, Any]:
    found = _different(limits, spec.Limits())
    for name in ("core", "memory"):
        if f"{name}_bytes" in found:
            found[f"{name}_mb"] = found.pop(f"{name}_bytes") / _MIB
    return found


def _renew(built: AppSpec) -> dict[str, Any]:
    found = _different(built.renew, spec.Renew())
    if "memory_bytes" in found:
        found["memory_mb"] = found.pop("memory_bytes") / _MIB
    if "watch" in found:
        found["watch"] = [_below(each, built.directory) for each in found["watch"]]
    return found


def _different(value: Any, default: Any) -> dict[str, Any]:
    """Return the fields of a value that are not as in *default*."""
    names = [each.name for each in fields(value)]
    return {
        name: getattr(value, name)
        for name in names
        if getattr(value, name) != getattr(default, name)
    }


def _below(path: str, directory: str) -> str:
    """Return a path relative to a directory, if it is below it."""
    if path == directory:
        return "."
    return path.removeprefix(f"{directory.rstrip('/')}/")


def _port(drop: str) -> int | str:
    return int(drop) if drop.isdigit() else drop


def _value(value: Any) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{int(value)}" if value.is_integer() else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return toml_text(value)
    if isinstance(value, Mapping):
        pairs = (f"{toml_key(name)} = {_value(each)}" for name, each in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return f"[{', '.join(map(_value, value))}]"
