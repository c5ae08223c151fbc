"""From the words of a file to specs: paths absolute, programs found, nothing assumed."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from gapless.base import home
from gapless.base.errors import MisuseError, NotFoundError
from gapless.base.names import is_app_name
from gapless.config import document, programs, schema
from gapless.config.document import Document
from gapless.releases.model import Hooks, Limits, ReleaseSpec
from gapless.supervisor.memory import spec
from gapless.supervisor.renewal import schedule

Built = TypeVar("Built")
_LISTEN = re.compile(r"(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+)?:)?(\d{1,5})")
_OURS = (
    "GAPLESS_APP",
    "GAPLESS_GENERATION",
    "GAPLESS_ORDINAL",
    "GAPLESS_INSTANCE",
    "GAPLESS_SOCKET",
    "NODE_APP_INSTANCE",
    "NODE_UNIQUE_ID",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "OLDPWD",
    "PWD",
    "SHLVL",
    "_",
)
"""What belongs to the caller's own process, and would mislead an app."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that one file asks for."""

    path: str
    apps: dict[str, spec.AppSpec]
    releases: dict[str, ReleaseSpec]
    warnings: tuple[str, ...] = ()


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what an app may have of the environment of whoever starts it."""
    return {name: v for name, v in environment.items() if name not in _OURS}


def load(
    path: str,
    environment: Mapping[str, str],
    *,
    redirect: Callable[[str], str] = str,
) -> Configuration:
    """Read a gapless.toml; *environment* is what the apps inherit.

    *redirect* may put another path in the place of the file and of the directories.

    Raises MisuseError that names every mistake, NotFoundError for what is not there.
    """
    found = document.read(Path(redirect(home.absolute(path))))
    found.path = Path(path)  # what is relative is so to where it was asked for
    mistakes: list[str] = []
    mistakes += [
        found.complaint(
            (name,),
            "unknown table; known: [app.NAME], [release.NAME], [rollout.NAME], "
            "[coordinator]",
        )
        for name in found.tables
        if name not in (*schema.TABLES, "coordinator")
    ]
    apps = _each(
        found, "app", mistakes, lambda n: _app(found, n, environment, redirect)
    )
    releases = _each(
        found, "release", mistakes, lambda n: _release(found, n, environment)
    )
    if not apps and not releases and not mistakes:
        mistakes.append(f"{path}: there is no [app.NAME] in it")
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return Configuration(home.absolute(path), apps, releases)


def load_releases(path: str, environment: Mapping[str, str]) -> dict[str, ReleaseSpec]:
    """Read the [release.NAME] tables alone: apps may not be there before their release.

    Raises MisuseError, NotFoundError.
    """
    found = document.read(Path(path))
    mistakes: list[str] = []
    releases = _each(
        found, "release", mistakes, lambda n: _release(found, n, environment)
    )
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return releases


def _each(
    found: Document, kind: str, mistakes: list[str], build: Callable[[str], Built]
) -> dict[str, Built]:
    """Build every table of a kind; what is wrong with one does not hide the others."""
    tables = found.tables.get(kind, {})
    if not isinstance(tables, dict):
        mistakes.append(found.complaint((kind,), f"write it as [{kind}.NAME]"))
        return {}
    built = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            mistakes.append(found.complaint((kind, name), f"write it as [{kind}.NAME]"))
        elif not is_app_name(name):
            mistakes.append(found.complaint((kind, name), "this cannot name an app"))
        else:
            try:
                built[name] = build(name)
            except MisuseError as error:
                mistakes.append(error.message)
    return built


def _app(
    found: Document,
    name: str,
    environment: Mapping[str, str],
    redirect: Callable[[str], str],
) -> spec.AppSpec:
    keys = ("app", name)
    table: schema.App = document.decode(found, keys, schema.App)
    declared = table.directory or "."
    folder = os.path.join(os.path.dirname(home.absolute(str(found.path))), declared)
    own = {key: _text(value) for key, value in table.environment.items()}
    if bad := [key for key in own if not key or "=" in key or "\0" in key + own[key]]:
        raise MisuseError(
            found.complaint((*keys, "environment", bad[0]), "this cannot be a variable")
        )
    argv = (
        shlex.split(table.command) if isinstance(table.command, str) else table.command
    )
    if not argv:
        raise MisuseError(found.complaint((*keys, "command"), "the command is empty"))
    if table.stop.signal.upper() not in signal.Signals.__members__:
        raise MisuseError(
            found.complaint(
                (*keys, "stop", "signal"), f"there is no signal {table.stop.signal!r}"
            )
        )
    log = table.log
    ready = _ready(table)
    built = app_spec(
        name,
        argv,
        directory=redirect(os.path.normpath(folder)),
        environment=dict(environment) | own,
        configured=tuple(sorted(own)),
        instances=_cpus() if table.instances == "cpus" else int(table.instances),
        listen=tuple(_listen(found, keys, entry) for entry in table.listen),
        outgoing=tuple(sorted(set(table.outgoing))),
        ready=ready,
        stop=spec.Stop(
            signal=table.stop.signal.upper(),
            message=table.stop.message,
            drain_timeout_s=table.stop.drain_timeout_s,
            kill_timeout_s=table.stop.kill_timeout_s,
            tree=table.stop.tree,
        ),
        restart=spec.Restart(
            automatic=table.restart.automatic,
            max=table.restart.max,
            min_uptime_s=table.restart.min_uptime_s,
            delay_s=table.restart.delay_s,
            backoff_s=table.restart.backoff_s,
            stop_exit_codes=tuple(table.restart.stop_exit_codes),
        ),
        renew=_renew(found, keys, table.renew, os.path.realpath(redirect(folder))),
        namespace=table.namespace,
        instance_variable=table.instance_variable,
        increment_variable=table.increment_variable,
        preload=table.preload,
        pid_file=_log_path(folder, table.pid_file),
        log=spec.Log(
            format=log.format,
            date_format=log.date_format,
            output=_log_path(folder, log.output),
            error=_log_path(folder, log.error),
            combined=_log_path(folder, log.combined),
            by_instance=log.by_instance,
            rotate_bytes=int(log.rotate_mb * (1 << 20)),
            rotate_s=log.rotate_hours * 3600,
            keep=log.keep,
        ),
        limits=spec.Limits(
            open_files=table.limits.open_files,
            processes=table.limits.processes,
            core_bytes=None
            if table.limits.core_mb is None
            else table.limits.core_mb << 20,
        ),
        min_healthy_s=table.min_healthy_s,
        overlap=programs.OVERLAP[table.overlap],
        recycle=spec.Recycle(
            max_unavailable=table.recycle.max_unavailable,
            lead_s=table.recycle.lead_s,
            quiet_s=table.recycle.quiet_s,
        ),
        interception=table.interception,
        user=table.user,
        group=table.group,
        config_file=home.absolute(str(found.path)),
    )
    return replace(built, declared_directory=os.path.normpath(folder))


def app_spec(
    name: str,
    argv: list[str],
    *,
    directory: str,
    environment: dict[str, str],
    **fields: Any,
) -> spec.AppSpec:
    """Return a spec whose directory and program are there.  Raises NotFoundError."""
    resolved = os.path.realpath(directory)
    if not os.path.isdir(resolved):
        raise NotFoundError(
            f"{name}: there is no directory {directory}",
            hint="the key `directory` is relative to the configuration file",
        )
    return spec.AppSpec(
        name=name,
        command=(programs.executable(name, argv[0], resolved, environment), *argv[1:]),
        directory=resolved,
        declared_directory=os.path.normpath(directory),
        environment=environment,
        release=programs.release_of(resolved),
        **fields,
    )


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
    found: Document, keys: tuple[str, ...], renew: schema.Renew, directory: str
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


def _listen(found: Document, keys: tuple[str, ...], entry: str) -> str:
    matched = _LISTEN.fullmatch(entry)
    if matched is None or not 0 < int(matched[2]) < 65536:
        raise MisuseError(
            found.complaint(
                (*keys, "listen"),
                f'{entry!r} is no address; write "127.0.0.1:8000", "[::]:8000", ":8000"',
            )
        )
    return f"{matched[1] or '0.0.0.0'}:{matched[2]}"  # noqa: S104 - what ":80" means


def _release(found: Document, name: str, environment: Mapping[str, str]) -> ReleaseSpec:
    keys = ("release", name)
    table: schema.Release = document.decode(found, keys, schema.Release)
    base = os.path.join(os.path.dirname(home.absolute(str(found.path))), table.base)
    bad = [p for p in table.shared if os.path.isabs(p) or ".." in Path(p).parts]
    if bad:
        raise MisuseError(
            found.complaint(
                (*keys, "shared"), f"{bad[0]!r} is not a path inside the release"
            )
        )
    return ReleaseSpec(
        app=name,
        base=os.path.normpath(base),
        push=_push(found, table.push),
        build=_commands(table.build),
        build_timeout_s=table.build_timeout_s,
        shared=tuple(table.shared),
        keep=table.keep,
        hooks=Hooks(
            before_flip=_command(table.hooks.before_flip),
            after=_command(table.hooks.after),
            failed=_command(table.hooks.failed),
            timeout_s=table.hooks.timeout_s,
        ),
        limits=Limits(
            max_unpacked_bytes=table.limits.max_unpacked_mb << 20,
            max_files=table.limits.max_files,
        ),
        environment=dict(environment),
    )


def _push(found: Document, to: str) -> str:
    """Return a destination; a directory is relative to the file, one with : is ssh's."""
    if not to or ":" in to.partition("/")[0]:
        return to
    folder = os.path.dirname(home.absolute(str(found.path)))
    return os.path.normpath(os.path.join(folder, to))


def _commands(
    build: str | list[str | list[str]] | None,
) -> tuple[tuple[str, ...], ...] | None:
    """Return the commands of a build: one as a string or a list of words, or several."""
    if build is None:
        return None
    if isinstance(build, str):
        return (_command(build),) if build.strip() else ()
    words = tuple(word for word in build if isinstance(word, str))
    if len(words) == len(build):
        return (words,) if words else ()
    return tuple(_command(command) for command in build)


def _command(command: str | list[str]) -> tuple[str, ...]:
    return tuple(shlex.split(command) if isinstance(command, str) else command)


def _text(value: str | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _log_path(folder: str, path: str) -> str:
    if not path or path == "NULL":
        return path
    return os.path.normpath(os.path.join(folder, path))


def _cpus() -> int:
    return len(os.sched_getaffinity(0))
