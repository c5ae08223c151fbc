"""From an [app.NAME] table to a spec: paths absolute, programs found."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gapless.base import paths
from gapless.base.errors import MisuseError, NotFoundError
from gapless.config import programs
from gapless.config.toml import document, schema
from gapless.config.toml.document import Document
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.renewal import schedule

_LISTEN = re.compile(r"(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+)?:)?(\d{1,5})")
Keys = tuple[str, ...]


def build(
    found: Document,
    name: str,
    environment: Mapping[str, str],
    redirect: Callable[[str], str],
) -> AppSpec:
    """Return what a table asks for.  Raises MisuseError, NotFoundError."""
    keys = ("app", name)
    table: schema.App = document.decode(found, keys, schema.App)
    file = paths.absolute(str(found.path))
    folder = os.path.join(os.path.dirname(file), table.directory or ".")
    own = _variables(found, keys, table)
    watched_from = os.path.realpath(redirect(folder))
    built = _resolved(
        name,
        _command(found, keys, table),
        directory=redirect(os.path.normpath(folder)),
        environment=dict(environment) | own,
        configured=tuple(sorted(own)),
        instances=_cpus() if table.instances == "cpus" else int(table.instances),
        listen=tuple(_address(found, keys, entry) for entry in table.listen),
        outgoing=tuple(sorted(set(table.outgoing))),
        ready=_ready(table),
        stop=_stop(found, keys, table.stop),
        restart=spec.Restart(**_fields(table.restart)),
        renew=_renew(found, keys, table.renew, watched_from),
        namespace=table.namespace,
        instance_variable=table.instance_variable,
        increment_variable=table.increment_variable,
        preload=table.preload,
        pid_file=_path(folder, table.pid_file),
        log=_log(table.log, folder),
        limits=_limits(table.limits),
        min_healthy_s=table.min_healthy_s,
        overlap=programs.OVERLAP[table.overlap],
        recycle=spec.Recycle(**_fields(table.recycle)),
        interception=table.interception,
        user=table.user,
        group=table.group,
        config_file=file,
    )
    return replace(built, declared_directory=os.path.normpath(folder))


def _resolved(
    name: str,
    argv: list[str],
    *,
    directory: str,
    environment: dict[str, str],
    **fields: Any,
) -> AppSpec:
    """Return a spec whose directory and program exist.  Raises NotFoundError."""
    resolved = os.path.realpath(directory)
    if not os.path.isdir(resolved):
        raise NotFoundError(
            f"{name}: there is no directory {directory}",
            hint="the key `directory` is relative to the configuration file",
        )
    program = programs.executable(name, argv[0], resolved, environment)
    return AppSpec(
        name=name,
        command=(program, *argv[1:]),
        directory=resolved,
        declared_directory=os.path.normpath(directory),
        environment=environment,
        release=programs.release_of(resolved),
        **fields,
    )


# --- keys of the table ------------------------------------------------------------------


def _command(found: Document, keys: Keys, table: schema.App) -> list[str]:
    argv = table.command
    argv = shlex.split(argv) if isinstance(argv, str) else argv
    if not argv:
        raise MisuseError(found.complaint((*keys, "command"), "the command is empty"))
    return argv


def _variables(found: Document, keys: Keys, table: schema.App) -> dict[str, str]:
    """Return the variables that the table sets."""
    own = {key: _text(value) for key, value in table.environment.items()}
    bad = [key for key in own if not key or "=" in key or "\0" in key + own[key]]
    if bad:
        raise MisuseError(
            found.complaint((*keys, "environment", bad[0]), "this cannot be a variable")
        )
    return own


def _text(value: str | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _stop(found: Document, keys: Keys, stop: schema.Stop) -> spec.Stop:
    name = stop.signal.upper()
    if name not in signal.Signals.__members__:
        raise MisuseError(
            found.complaint(
                (*keys, "stop", "signal"), f"there is no signal {stop.signal!r}"
            )
        )
    return spec.Stop(**_fields(stop) | {"signal": name})


def _ready(table: schema.App) -> spec.Ready:
    ready = table.ready
    if isinstance(ready, str):
        return spec.Ready(when=spec.When(ready))
    path = ready.when.http if isinstance(ready.when, schema.Http) else ready.http
    if path is not None:
        return spec.Ready(when=spec.When.HTTP, path=path, timeout_s=ready.timeout_s)
    assert isinstance(ready.when, str)
    return spec.Ready(when=spec.When(ready.when), timeout_s=ready.timeout_s)


def _renew(
    found: Document, keys: Keys, renew: schema.Renew, directory: str
) -> spec.Renew:
    try:
        if renew.cron:
            schedule.parse(renew.cron)
    except ValueError as error:
        raise MisuseError(
            found.complaint((*keys, "renew", "cron"), f"{renew.cron!r}: {error}")
        ) from None
    return spec.Renew(
        memory_bytes=int(renew.memory_mb * (1 << 20)),
        cron=renew.cron,
        watch=tuple(os.path.normpath(os.path.join(directory, w)) for w in renew.watch),
        ignore=None if renew.ignore is None else tuple(renew.ignore),
        watch_delay_s=renew.watch_delay_s,
    )


def _log(log: schema.Log, folder: str) -> spec.Log:
    return spec.Log(
        format=log.format,
        date_format=log.date_format,
        output=_path(folder, log.output),
        error=_path(folder, log.error),
        combined=_path(folder, log.combined),
        by_instance=log.by_instance,
        rotate_bytes=int(log.rotate_mb * (1 << 20)),
        rotate_s=log.rotate_hours * 3600,
        keep=log.keep,
    )


def _limits(limits: schema.Limits) -> spec.Limits:
    core_mb = limits.core_mb
    return spec.Limits(
        open_files=limits.open_files,
        processes=limits.processes,
        core_bytes=None if core_mb is None else core_mb << 20,
    )


def _address(found: Document, keys: Keys, entry: str) -> str:
    matched = _LISTEN.fullmatch(entry)
    if matched is None or not 0 < int(matched[2]) < 65536:
        raise MisuseError(
            found.complaint(
                (*keys, "listen"),
                f'{entry!r} is no address; write "127.0.0.1:8000", "[::]:8000", ":8000"',
            )
        )
    return f"{matched[1] or '0.0.0.0'}:{matched[2]}"  # noqa: S104 - what ":80" means


def _path(folder: str, path: str) -> str:
    """Return the path of a log or a pid file; NULL and nothing stay."""
    if not path or path == "NULL":
        return path
    return os.path.normpath(os.path.join(folder, path))


def _fields(table: Any) -> dict[str, Any]:
    """Return the keys of a table whose spec has the same; its lists are tuples there."""
    values = ((name, getattr(table, name)) for name in table.__struct_fields__)
    return {n: tuple(v) if isinstance(v, list) else v for n, v in values}


def _cpus() -> int:
    return len(os.sched_getaffinity(0))
