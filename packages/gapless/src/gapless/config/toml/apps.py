"""From an [app.NAME] table to a spec: every path absolute, every program found."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gapless.base import paths
from gapless.base.errors import MisuseError, NotFoundError
from gapless.config import programs, surroundings
from gapless.config.release_name import release_name
from gapless.config.toml import app_schema, app_tables
from gapless.config.toml.document import Document, Keys, decode
from gapless.config.toml.schema import (
    AFFINITY,
    NOT_WITH_AFFINITY,
    OVERLAP,
    TAKEOVER,
)
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.spec import AppSpec

Kept = TypeVar("Kept")
_LISTEN = re.compile(r"(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+)?:)?(\d{1,5})")


def build(
    document: Document,
    name: str,
    environment: Mapping[str, str],
    redirect: Callable[[str], str],
) -> AppSpec:
    """Return the spec that a table describes.  Raises MisuseError, NotFoundError."""
    keys = ("app", name)
    table: app_schema.App = decode(document, keys, app_schema.App)
    file = paths.absolute(str(document.path))
    folder = os.path.join(os.path.dirname(file), table.directory or ".")
    own = _variables(document, keys, table)
    watch_base = os.path.realpath(redirect(folder))
    return _resolved(
        name,
        _command(document, keys, table),
        directory=redirect(os.path.normpath(folder)),
        environment=dict(environment) | own,
        link_of=_release_of(document, os.path.normpath(folder)),
        declared_directory=os.path.normpath(folder),
        configured=tuple(sorted(own)),
        environment_files=_checked(
            document,
            keys,
            "environment_file",
            surroundings.files,
            table.environment_file,
        ),
        instances=_cpus() if table.instances == "cpus" else int(table.instances),
        listen=tuple(_address(document, keys, entry) for entry in table.listen),
        drops=tuple(str(entry) for entry in table.drops),
        outgoing=tuple(sorted(set(table.outgoing))),
        ready=_checked(document, keys, "ready", app_tables.ready, table.ready),
        alive=_checked(document, keys, "alive", app_tables.alive, table.alive),
        stop=app_tables.stop(document, keys, table.stop),
        restart=app_tables.restart(table.restart),
        renew=app_tables.renew(document, keys, table.renew, watch_base),
        namespace=table.namespace,
        instance_variable=table.instance_variable,
        increment_variable=table.increment_variable,
        preload=table.preload,
        pid_file=app_tables.absolute(folder, table.pid_file),
        log=app_tables.log(table.log, folder),
        limits=app_tables.limits(table.limits),
        min_healthy_s=table.min_healthy_s,
        overlap=OVERLAP[table.overlap],
        shared_files=table.shared_files,
        takeover=TAKEOVER[table.takeover],
        affinity=AFFINITY[table.affinity],
        share_ports=_share_ports(document, keys, table),
        recycle=spec.Recycle(**app_tables.same_keys(table.recycle)),
        interception=table.interception,
        checks_port=table.checks_port,
        user=table.user,
        group=table.group,
        umask=_checked(document, keys, "umask", surroundings.umask, table.umask),
        after=tuple(dict.fromkeys(table.after)),
        config_file=file,
    )


def _release_of(document: Document, directory: str) -> str:
    """Return the release whose link leads to a directory; empty if none does.

    The tables of releases may not have been checked yet.
    """
    tables = document.tables.get("release")
    beside = os.path.dirname(paths.absolute(str(document.path)))
    for name, table in tables.items() if isinstance(tables, dict) else ():
        base = table.get("base") if isinstance(table, dict) else None
        if isinstance(base, str):
            link = os.path.normpath(os.path.join(beside, base, "dist", name))
            if directory == link or directory.startswith(f"{link}/"):
                return str(name)
    return ""


def _resolved(
    name: str,
    argv: list[str],
    *,
    directory: str,
    environment: dict[str, str],
    link_of: str = "",
    **fields: Any,
) -> AppSpec:
    """Return a spec whose directory and program exist.  Raises NotFoundError."""
    resolved = os.path.realpath(directory)
    if not os.path.isdir(resolved):
        raise NotFoundError(
            f"{name}: there is no directory {directory}",
            hint=f"it is the link of [release.{link_of}], which has no release yet: "
            f"gapless publish {link_of}.tar.gz"
            if link_of
            else "make it, or correct the key `directory`, which is relative to the "
            "configuration file",
        )
    program = programs.executable(name, argv[0], resolved, environment)
    return AppSpec(
        name=name,
        command=(program, *argv[1:]),
        directory=resolved,
        environment=environment,
        release=release_name(resolved),
        **fields,
    )


def _checked(
    document: Document, keys: Keys, key: str, check: Callable[[Any], Kept], value: Any
) -> Kept:
    """Return what a check makes of a value.  Raises MisuseError that names the key."""
    try:
        return check(value)
    except ValueError as error:
        raise MisuseError(document.message_for((*keys, key), str(error))) from None


def _command(document: Document, keys: Keys, table: app_schema.App) -> list[str]:
    argv = document.words((*keys, "command"), table.command)
    if not argv:
        raise MisuseError(
            document.message_for((*keys, "command"), "the command is empty")
        )
    return argv


def _variables(document: Document, keys: Keys, table: app_schema.App) -> dict[str, str]:
    """Return the environment variables that the table sets.  Raises MisuseError."""
    own = {key: _text(value) for key, value in table.environment.items()}
    bad = [key for key in own if not key or "=" in key or "\0" in key + own[key]]
    if bad:
        raise MisuseError(
            document.message_for(
                (*keys, "environment", bad[0]), "this cannot be a variable"
            )
        )
    return own


def _text(value: str | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _address(document: Document, keys: Keys, entry: str) -> str:
    matched = _LISTEN.fullmatch(entry)
    if matched is None or not 0 < int(matched[2]) < 65536:
        raise MisuseError(
            document.message_for(
                (*keys, "listen"),
                f'{entry!r} is no address; write "127.0.0.1:8000", "[::]:8000", ":8000"',
            )
        )
    return f"{matched[1] or '0.0.0.0'}:{matched[2]}"  # noqa: S104 - what ":80" means


def _share_ports(document: Document, keys: Keys, table: app_schema.App) -> str:
    if table.share_ports and table.affinity != "none":
        message = document.message_for((*keys, "share_ports"), NOT_WITH_AFFINITY)
        raise MisuseError(message)
    return table.share_ports


def _cpus() -> int:
    return len(os.sched_getaffinity(0))
