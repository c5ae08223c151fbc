"""From declarations to specs: paths absolute, programs found, defaults filled in."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gapless.base import paths
from gapless.base.errors import MisuseError, NotFoundError
from gapless.base.names import is_app_name
from gapless.config import site
from gapless.config.choice import Choice
from gapless.config.pm2 import commands, lifecycle, log_files, variables
from gapless.config.pm2.declaration import Declaration
from gapless.config.pm2.gapless_field import with_gapless_field
from gapless.config.release_name import release_name
from gapless.supervisor.memory import spec

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9 ._:@+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a spec depends on besides its declaration."""

    choice: Choice
    """Relative paths begin at its `started_in`, which must not be empty."""
    file: str = ""
    """The absolute path of the file that declares the app; empty if there is none."""
    redirect: Callable[[str], str] = str
    """May return another path for a directory: that of the release to be tried."""
    pm2_variables: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """PM2's own environment variables, such as PM2_KILL_TIMEOUT."""


def build(declared: Declaration, context: Context) -> spec.AppSpec:
    """Return the spec that a declaration describes.  Raises MisuseError, NotFoundError."""
    name, alias = app_name(declared, context), _name_in_file(declared, context)
    directory = _directory(declared, context)
    resolved = os.path.realpath(context.redirect(directory))
    if not os.path.isdir(resolved):
        raise NotFoundError(
            declared.message_for("cwd", f"there is no directory {directory}"),
            hint="the directory of this shell was removed: cd to one that exists"
            if paths.is_gone()
            else "",
        )
    own = variables.configured(declared, context.choice.profile)
    environment = variables.inherited(declared, context.choice.environment) | own
    argv, interpreter = commands.command(
        declared, resolved, environment, context.redirect, context.pm2_variables
    )
    mode = commands.mode(declared, interpreter)
    ready = lifecycle.ready(declared, context.pm2_variables)
    if interpreter == site.SCRIPT:
        ready = replace(ready, when=spec.When.LISTENING)
    built = spec.AppSpec(
        name=name,
        command=tuple(argv),
        directory=resolved,
        declared_directory=directory,
        environment=environment,
        configured=tuple(sorted(own)),
        environment_files=tuple(declared.get("env_file", ())),
        namespace=declared.get("namespace", "default"),
        instances=commands.instances(declared),
        instance_variable=context.pm2_variables.get("PM2_PROCESS_INSTANCE_VAR")
        or declared.get("instance_var", ""),
        increment_variable=declared.get("increment_var", ""),
        announce=True,
        survives_rejections=lifecycle.survives_rejections(declared, interpreter, mode),
        pid_file=log_files.pid_file(declared, name, directory),
        ready=ready,
        stop=lifecycle.stop(declared, context.pm2_variables, interpreter),
        restart=lifecycle.restart(declared),
        renew=lifecycle.renew(declared, resolved),
        log=log_files.log(declared, name, directory, mode),
        user=declared.get("uid", ""),
        group=declared.get("gid", ""),
        release=release_name(resolved),
        profile=context.choice.profile,
        label=declared.label,
        alias=alias if alias != name else "",
        mode=mode,
        share_ports=mode if mode == "cluster" else "",
        autostart=declared.get("autostart", True),
        started_in=context.choice.started_in,
    )
    return with_gapless_field(declared, built)


def app_name(declared: Declaration, context: Context) -> str:
    """Return the name that an app has here.  Raises MisuseError."""
    name = _name_in_file(declared, context)
    if declared.copy:
        name = f"{name}-{declared.copy}"
    if not is_app_name(name):
        raise MisuseError(
            declared.message_for(
                "name",
                f"{name!r} cannot name an app; use letters, digits, . _ - : @ + and "
                "spaces between them, 64 characters at most",
            )
        )
    return name


def _name_in_file(declared: Declaration, context: Context) -> str:
    """Return the name that PM2 would give to an app; others may have it as well."""
    script = declared.get("script")
    name = declared.get("name")
    if name is None:
        base = os.path.basename(script)
        stem = base if " " in script else os.path.splitext(base)[0]
        name = _NOT_IN_NAMES.sub("-", stem).strip(" -")[:64]
    name = declared.get("name_prefix", "") + name
    if declared.get("append_env_to_name") and context.choice.profile:
        name = f"{name}-{context.choice.profile}"
    return str(name)


def _directory(declared: Declaration, context: Context) -> str:
    """Return the directory in which the app runs, its symlinks kept."""
    directory = os.path.normpath(
        os.path.join(context.choice.started_in, declared.get("cwd", ""))
    )
    script = declared.get("script")
    beside_file = os.path.dirname(context.file)
    is_below = os.path.exists(os.path.join(context.redirect(directory), script))
    if declared.get("cwd") is None and beside_file and not is_below:
        found = os.path.join(context.redirect(beside_file), script)
        if not os.path.isabs(script) and os.path.isfile(found):
            return os.path.normpath(beside_file)
    return directory


def as_json(overrides: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return overrides in the form that a spec keeps them in: names and JSON values."""
    return tuple((name, json.dumps(value)) for name, value in overrides.items())
