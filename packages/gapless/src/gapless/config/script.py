"""An app that the command line describes, in PM2's fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from gapless.base import paths
from gapless.config.choice import Choice
from gapless.config.configuration import Configuration
from gapless.supervisor.memory import spec

_LOGS = (
    "out_file",
    "error_file",
    "log_file",
    "merge_logs",
    "log_date_format",
    "time",
    "log_type",
    "disable_logs",
)


def load_script(
    declared: Mapping[str, Any], environment: Mapping[str, str], *, like_pm2: bool
) -> Configuration:
    """Return the app that a command line describes, in PM2's fields.

    Its defaults are those of a gapless.toml, or with *like_pm2* those of PM2.  Raises
    MisuseError, NotFoundError.
    """
    from gapless.config.pm2 import declaration, specs  # noqa: PLC0415 - slow

    found, warnings = declaration.read_all(dict(declared), "command line", {})
    setting = specs.Setting(
        choice=Choice(environment=environment, started_in=paths.working_directory())
    )
    built = specs.build(found[0], setting)
    if not like_pm2:
        built = _with_our_defaults(built, found[0].fields)
    return Configuration("", {built.name: built}, {}, (*warnings, *found[0].warnings))


def _with_our_defaults(built: spec.AppSpec, given: Collection[str]) -> spec.AppSpec:
    """Return a spec whose defaults are those of a gapless.toml."""
    ours = spec.AppSpec(name=built.name, command=built.command, directory="/")
    stop = replace(built.stop, signal=ours.stop.signal)
    if "kill_timeout" not in given:
        stop = replace(stop, kill_timeout_s=ours.stop.kill_timeout_s)
    restart = built.restart
    if "max_restarts" not in given and not restart.backoff_s:
        restart = replace(restart, max=ours.restart.max)
    return replace(
        built,
        announce=False,
        pid_file=built.pid_file if "pid_file" in given else "",
        log=built.log if any(name in given for name in _LOGS) else ours.log,
        stop=stop,
        restart=restart,
    )
