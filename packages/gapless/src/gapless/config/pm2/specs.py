"""From declarations to specs: paths absolute, programs found, defaults filled in."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from gapless.base import home
from gapless.base.errors import MisuseError, NotFoundError
from gapless.base.names import Home, is_app_name
from gapless.config import programs, schema
from gapless.config.pm2 import commands, dates
from gapless.config.pm2.declaration import Declaration
from gapless.supervisor.memory import spec

PLAIN_TIME = "YYYY-MM-DDTHH:mm:ss"
LISTEN_TIMEOUT_S, KILL_TIMEOUT_S, MIN_UPTIME_S = 30.0, 1.6, 1.0
MAX_RESTARTS, WITHOUT_END = 16, 1 << 30
_NOWHERE = ("NULL", "/dev/null")
_ALWAYS = ("PATH", "HOME")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9 ._:@+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a declaration means depends on this, besides its own words."""

    environment: Mapping[str, str]
    """What the apps inherit."""
    started_in: str
    """Where the command was typed: relative paths begin there."""
    file: str = ""
    """Where the declaration stands, absolute; empty if in no file."""
    profile: str = ""
    """What --env says."""
    redirect: Callable[[str], str] = str
    """Another path in the place of a directory: the release that is to be tried."""
    known: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """Where PM2's own variables stand, such as PM2_KILL_TIMEOUT."""


def build(declared: Declaration, setting: Setting) -> spec.AppSpec:
    """Return what a declaration asks for.  Raises MisuseError, NotFoundError."""
    name = _name(declared, setting)
    directory = _directory(declared, setting)
    resolved = os.path.realpath(setting.redirect(directory))
    if not os.path.isdir(resolved):
        raise NotFoundError(
            declared.complaint("cwd", f"there is no directory {directory}")
        )
    variables = _variables(declared, setting)
    environment = _inherited(declared, setting) | variables
    argv, interpreter = commands.command(
        declared, resolved, environment, setting.redirect
    )
    mode = commands.mode(declared, interpreter)
    built = spec.AppSpec(
        name=name,
        command=tuple(argv),
        directory=resolved,
        declared_directory=directory,
        environment=environment,
        configured=tuple(sorted(variables)),
        namespace=declared.get("namespace", "default"),
        instances=commands.instances(declared),
        instance_variable=declared.get("instance_var", ""),
        increment_variable=declared.get("increment_var", ""),
        announce=True,
        pid_file=_pid_file(declared, name, directory),
        ready=_ready(declared, setting),
        stop=_stop(declared, setting),
        restart=_restart(declared),
        renew=_renew(declared, resolved),
        log=_log(declared, name, directory, mode),
        user=declared.get("uid", ""),
        group=declared.get("gid", ""),
        release=programs.release_of(resolved),
        profile=setting.profile,
        label=declared.label,
        mode=mode,
        autostart=declared.get("autostart", True),
        started_in=setting.started_in,
    )
    return _with_extra(declared, built)


def _name(declared: Declaration, setting: Setting) -> str:
    script = declared.get("script")
    name = declared.get("name")
    if name is None:
        base = os.path.basename(script)
        stem = base if " " in script else os.path.splitext(base)[0]
        name = _NOT_IN_NAMES.sub("-", stem).strip(" -")[:64]
    name = declared.get("name_prefix", "") + name
    if declared.get("append_env_to_name") and setting.profile:
        name = f"{name}-{setting.profile}"
    if not is_app_name(name):
        raise MisuseError(
            declared.complaint(
                "name",
                f"{name!r} cannot name an app; letters, digits and . _ - : @ + can, "
                "and spaces within, 64 in all",
            )
        )
    return str(name)


def _directory(declared: Declaration, setting: Setting) -> str:
    """Return where the app runs, symlinks kept."""
    directory = os.path.normpath(
        os.path.join(setting.started_in, declared.get("cwd", ""))
    )
    script = declared.get("script")
    beside = os.path.dirname(setting.file)
    is_here = os.path.exists(os.path.join(setting.redirect(directory), script))
    if declared.get("cwd") is None and beside and not is_here:
        found = os.path.join(setting.redirect(beside), script)
        if not os.path.isabs(script) and os.path.isfile(found):
            return os.path.normpath(beside)
    return directory


# --- variables ----------------------------------------------------------------------


def _variables(declared: Declaration, setting: Setting) -> dict[str, str]:
    """Return what the file sets."""
    found = dict(declared.get("env", {}))
    if setting.profile:
        if setting.profile not in declared.profiles:
            known = ", ".join(declared.profiles) or "none"
            declared.warnings.append(
                declared.complaint(
                    f"env_{setting.profile}",
                    f"--env {setting.profile} finds no such field; it has: {known}",
                )
            )
        found |= declared.profiles.get(setting.profile, {})
    if declared.get("port") is not None:
        found["PORT"] = str(declared.get("port"))
    return found


def _inherited(declared: Declaration, setting: Setting) -> dict[str, str]:
    """Return what is left of the shell's environment."""
    wanted = declared.get("filter_env", False)
    inherited = dict(setting.environment)
    if not wanted:
        return inherited
    if wanted is True:
        return {name: v for name, v in inherited.items() if name in _ALWAYS}
    if isinstance(wanted, str):
        return {name: v for name, v in inherited.items() if name != wanted}
    return {
        name: v
        for name, v in inherited.items()
        if not any(piece in name for piece in wanted) or name in _ALWAYS
    }


# --- how it lives -------------------------------------------------------------------


def _ready(declared: Declaration, setting: Setting) -> spec.Ready:
    default_s = _of_pm2(setting, "PM2_GRACEFUL_LISTEN_TIMEOUT", LISTEN_TIMEOUT_S)
    timeout_s = declared.get("listen_timeout", default_s)
    if timeout_s <= 0:
        raise MisuseError(
            declared.complaint(
                "listen_timeout", "0 leaves no time to become ready; write 3000"
            )
        )
    when = spec.When.NOTIFY if declared.get("wait_ready") else spec.When.AUTO
    return spec.Ready(when=when, timeout_s=timeout_s)


def _stop(declared: Declaration, setting: Setting) -> spec.Stop:
    return spec.Stop(
        signal=setting.known.get("PM2_KILL_SIGNAL", "SIGINT"),
        message=declared.get("shutdown_with_message", False),
        kill_timeout_s=declared.get(
            "kill_timeout", _of_pm2(setting, "PM2_KILL_TIMEOUT", KILL_TIMEOUT_S)
        ),
        tree=declared.get("treekill", True),
    )


def _of_pm2(setting: Setting, variable: str, default_s: float) -> float:
    """Return a time that PM2 would take from the environment, in milliseconds."""
    found = setting.known.get(variable, "")
    return int(found) / 1000 if found.isdigit() and int(found) else default_s


def _restart(declared: Declaration) -> spec.Restart:
    backoff_s = declared.get("exp_backoff_restart_delay", 0.0)
    # PM2 gives up at the so-many-th short life; growing delays mean: go on trying.
    lives = declared.get("max_restarts", WITHOUT_END if backoff_s else MAX_RESTARTS)
    return spec.Restart(
        automatic=declared.get("autorestart", True),
        max=max(0, lives - 1),
        min_uptime_s=declared.get("min_uptime", MIN_UPTIME_S),
        delay_s=declared.get("restart_delay"),
        backoff_s=backoff_s,
        stop_exit_codes=tuple(declared.get("stop_exit_codes", ())),
    )


def _renew(declared: Declaration, directory: str) -> spec.Renew:
    watch = declared.get("watch", False)
    places = [directory] if watch is True else (watch or [])
    ignored = declared.get("ignore_watch")
    return spec.Renew(
        memory_bytes=declared.get("max_memory_restart", 0),
        cron=declared.get("cron_restart", ""),
        watch=tuple(os.path.normpath(os.path.join(directory, p)) for p in places),
        ignore=None if ignored is None else tuple(ignored),
        watch_delay_s=declared.get("watch_delay", spec.Renew().watch_delay_s),
    )


# --- files --------------------------------------------------------------------------


def _log(declared: Declaration, name: str, directory: str, mode: str) -> spec.Log:
    logs = Home(home.path()).logs
    off = declared.get("disable_logs", False)

    def place(found: Any, default: str) -> str:
        if off or found in _NOWHERE:
            return "NULL"
        return os.path.normpath(os.path.join(directory, found or default))

    combined = declared.get("log_file") or ""
    if combined is True:
        combined = f"{logs}/{name}.log"
    pattern = declared.get("log_date_format", "")
    if not pattern and declared.get("time"):
        pattern = PLAIN_TIME
    merged = declared.get("merge_logs")
    if merged is None:
        merged = mode == "fork" and declared.get("instances") is None
    kind = declared.get("log_type", "")
    if kind not in ("", "json"):
        raise MisuseError(declared.complaint("log_type", f'"{kind}" is not "json"'))
    return spec.Log(
        format="pm2-json" if kind == "json" else "plain",
        date_format=dates.strftime_format(pattern),
        output=place(declared.get("out_file"), f"{logs}/{name}-out.log"),
        error=place(declared.get("error_file"), f"{logs}/{name}-error.log"),
        combined="" if off or combined in ("", *_NOWHERE) else place(combined, ""),
        by_instance=not merged,
    )


def _pid_file(declared: Declaration, name: str, directory: str) -> str:
    default = f"{home.path()}/pids/{name}.pid"
    return os.path.normpath(os.path.join(directory, declared.get("pid_file", default)))


# --- what PM2 has no field for --------------------------------------------------------


def _with_extra(declared: Declaration, built: spec.AppSpec) -> spec.AppSpec:
    """Return a spec with the keys of the field `gapless`."""
    found = declared.get("gapless")
    if found is None:
        return built
    try:
        extra = msgspec.convert(found, schema.Extra, strict=True)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(schema.Extra))
        raise MisuseError(
            declared.complaint("gapless", f"{error}; known keys: {known}")
        ) from None
    ready = built.ready
    if extra.health is not None:
        ready = replace(ready, when=spec.When.HTTP, path=extra.health)
    stop = built.stop
    if extra.drain_timeout_s is not None:
        stop = replace(stop, drain_timeout_s=extra.drain_timeout_s)
    return replace(
        built,
        ready=ready,
        stop=stop,
        outgoing=tuple(sorted(set(extra.outgoing))),
        min_healthy_s=extra.min_healthy_s,
        overlap=programs.OVERLAP[extra.overlap],
        preload=extra.preload,
        interception=extra.interception,
    )


def as_json(overrides: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return options of the command line as a spec keeps them."""
    return tuple((name, json.dumps(value)) for name, value in overrides.items())
