"""From declarations to specs: paths absolute, programs found, defaults filled in."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from gapless.base.errors import MisuseError, NotFoundError
from gapless.base.names import is_app_name
from gapless.config import programs
from gapless.config.choice import Choice
from gapless.config.pm2 import commands, log_files, variables
from gapless.config.pm2.declaration import Declaration
from gapless.config.toml import schema
from gapless.supervisor.memory import spec

LISTEN_TIMEOUT_S, KILL_TIMEOUT_S, MIN_UPTIME_S = 30.0, 1.6, 1.0
MAX_RESTARTS, WITHOUT_END = 16, 1 << 30
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9 ._:@+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a declaration depends on, besides its own words."""

    choice: Choice
    """Relative paths begin where the command was typed: its `started_in` is not empty."""
    file: str = ""
    """Where the declaration stands, absolute; empty if in no file."""
    redirect: Callable[[str], str] = str
    """May replace the path of a directory: by that of the release to be tried."""
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
    own = variables.configured(declared, setting.choice.profile)
    environment = variables.inherited(declared, setting.choice.environment) | own
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
        configured=tuple(sorted(own)),
        namespace=declared.get("namespace", "default"),
        instances=commands.instances(declared),
        instance_variable=declared.get("instance_var", ""),
        increment_variable=declared.get("increment_var", ""),
        announce=True,
        pid_file=log_files.pid_file(declared, name, directory),
        ready=_ready(declared, setting),
        stop=_stop(declared, setting),
        restart=_restart(declared),
        renew=_renew(declared, resolved),
        log=log_files.log(declared, name, directory, mode),
        user=declared.get("uid", ""),
        group=declared.get("gid", ""),
        release=programs.release_of(resolved),
        profile=setting.choice.profile,
        label=declared.label,
        mode=mode,
        autostart=declared.get("autostart", True),
        started_in=setting.choice.started_in,
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
    if declared.get("append_env_to_name") and setting.choice.profile:
        name = f"{name}-{setting.choice.profile}"
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
        os.path.join(setting.choice.started_in, declared.get("cwd", ""))
    )
    script = declared.get("script")
    beside = os.path.dirname(setting.file)
    is_here = os.path.exists(os.path.join(setting.redirect(directory), script))
    if declared.get("cwd") is None and beside and not is_here:
        found = os.path.join(setting.redirect(beside), script)
        if not os.path.isabs(script) and os.path.isfile(found):
            return os.path.normpath(beside)
    return directory


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
