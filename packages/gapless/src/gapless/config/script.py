"""An app that is described by a command line, in PM2's fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from gapless.base import paths
from gapless.config.choice import Choice
from gapless.config.configuration import Configuration
from gapless.supervisor.memory import spec

_LOG_FIELDS = (
    "out_file",
    "error_file",
    "log_file",
    "merge_logs",
    "log_date_format",
    "time",
    "log_type",
    "disable_logs",
)


LIKE_PM2 = "like_pm2"
"""The option beside the fields that is kept with them."""


def load_script(
    declared: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    like_pm2: bool,
    started_in: str = "",
) -> Configuration:
    """Return the app that a command line describes, in PM2's fields.

    The defaults are those of a gapless.toml, or with *like_pm2* those of PM2.  What is
    relative is so to *started_in*, or to the working directory.  Raises MisuseError,
    NotFoundError.
    """
    from gapless.config.pm2 import parse, specs  # noqa: PLC0415 - slow

    (declaration,), warnings = parse.declarations(dict(declared), "command line", {})
    context = specs.Context(
        choice=Choice(
            environment=environment,
            started_in=started_in or paths.working_directory(),
        )
    )
    built = specs.build(declaration, context)
    if not like_pm2:
        built = _with_toml_defaults(built, declaration.fields)
    kept = specs.as_json({**declared, LIKE_PM2: like_pm2})
    built = replace(built, arguments=kept)
    return Configuration(
        path="",
        apps={built.name: built},
        releases={},
        warnings=(*warnings, *declaration.warnings),
    )


def _with_toml_defaults(built: spec.AppSpec, given: Collection[str]) -> spec.AppSpec:
    """Return the spec with the defaults of a gapless.toml for fields not in *given*."""
    defaults = spec.AppSpec(name=built.name, command=built.command, directory="/")
    stop = replace(built.stop, signal=defaults.stop.signal)
    if "kill_timeout" not in given:
        stop = replace(stop, kill_timeout_s=defaults.stop.kill_timeout_s)
    restart = built.restart
    if "max_restarts" not in given and not restart.backoff_s:
        restart = replace(restart, max=defaults.restart.max)
    return replace(
        built,
        announce=False,
        survives_rejections=False,
        pid_file=built.pid_file if "pid_file" in given else "",
        log=built.log if any(name in given for name in _LOG_FIELDS) else defaults.log,
        stop=stop,
        restart=restart,
    )
