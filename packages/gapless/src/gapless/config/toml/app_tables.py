"""From the tables inside an [app.NAME] table to the parts of a spec."""

from __future__ import annotations

import os
import signal
from typing import Any

from gapless.base.errors import MisuseError
from gapless.config.toml import app_schema
from gapless.config.toml.document import Document, Keys
from gapless.supervisor.memory import spec
from gapless.supervisor.renewal import schedule


def stop(document: Document, keys: Keys, table: app_schema.Stop) -> spec.Stop:
    """Return how an instance is stopped.  Raises MisuseError."""
    name = table.signal.upper()
    if name not in signal.Signals.__members__:
        raise MisuseError(
            document.message_for(
                (*keys, "stop", "signal"), f"there is no signal {table.signal!r}"
            )
        )
    return spec.Stop(**same_keys(table) | {"signal": name})


def ready(table: str | app_schema.Ready) -> spec.Ready:
    """Return when an instance counts as ready.  Raises ValueError."""
    if isinstance(table, str):
        return spec.Ready(when=spec.When(table))
    path = _path(table)
    if path is not None:
        if table.when == "notify":
            raise ValueError(
                "an app is ready by READY=1 or by its answer to http, not by both: "
                'leave out one of when = "notify" and http'
            )
        return spec.Ready(when=spec.When.HTTP, path=path, timeout_s=table.timeout_s)
    assert isinstance(table.when, str)
    return spec.Ready(when=spec.When(table.when), timeout_s=table.timeout_s)


def alive(table: str | app_schema.Alive) -> spec.Alive:
    """Return when an instance counts as hanging.  Raises ValueError."""
    if isinstance(table, str):
        return spec.Alive(when=spec.Asks(table))
    path = _path(table)
    return spec.Alive(
        when=spec.Asks.LISTENING if path is None else spec.Asks.HTTP,
        path=path or "/",
        every_s=table.every_s,
        timeout_s=table.timeout_s,
        failures=table.failures,
    )


def _path(table: app_schema.Ready | app_schema.Alive) -> str | None:
    """Return the path that is asked for; who answers it listens.  Raises ValueError."""
    if not isinstance(table.when, app_schema.Http):
        return table.http
    path = table.when.http
    if table.http not in (None, path):
        raise ValueError(f"two paths: when asks for {path}, http for {table.http}")
    return path


def restart(table: app_schema.Restart) -> spec.Restart:
    """Return what happens when an instance ends by itself.

    What says how often or how late it is tried again means a first start as well.
    """
    keys = same_keys(table)
    if table.max is None:
        del keys["max"]
    first = bool(table.max or table.delay_s or table.backoff_s)
    return spec.Restart(**keys, first=first)


def renew(
    document: Document, keys: Keys, table: app_schema.Renew, directory: str
) -> spec.Renew:
    """Return what begins a handoff; watched paths begin at *directory*.

    Raises MisuseError.
    """
    try:
        if table.cron:
            schedule.parse(table.cron)
    except ValueError as error:
        raise MisuseError(
            document.message_for((*keys, "renew", "cron"), f"{table.cron!r}: {error}")
        ) from None
    return spec.Renew(
        memory_bytes=int(table.memory_mb * (1 << 20)),
        cron=table.cron,
        watch=tuple(os.path.normpath(os.path.join(directory, w)) for w in table.watch),
        ignore=table.ignore,
        watch_delay_s=table.watch_delay_s,
    )


def log(table: app_schema.Log, folder: str) -> spec.Log:
    """Return where the output goes; paths begin at *folder*."""
    return spec.Log(
        format=table.format,
        date_format=table.date_format,
        output=absolute(folder, table.output),
        error=absolute(folder, table.error),
        combined=absolute(folder, table.combined),
        by_instance=table.by_instance,
        rotate_bytes=int(table.rotate_mb * (1 << 20)),
        rotate_s=table.rotate_hours * 3600,
        keep=table.keep,
    )


def limits(table: app_schema.Limits) -> spec.Limits:
    """Return the resource limits of an instance."""
    core_mb, memory_mb = table.core_mb, table.memory_mb
    return spec.Limits(
        open_files=table.open_files,
        processes=table.processes,
        core_bytes=None if core_mb is None else core_mb << 20,
        memory_bytes=None if memory_mb is None else int(memory_mb * (1 << 20)),
        cpu_percent=table.cpu_percent,
    )


def absolute(folder: str, path: str) -> str:
    """Return the absolute path of a log or pid file; "NULL" and "" stay as they are."""
    if not path or path == "NULL":
        return path
    return os.path.normpath(os.path.join(folder, path))


def same_keys(table: Any) -> dict[str, Any]:
    """Return the values of a table whose spec has the same keys."""
    return {name: getattr(table, name) for name in table.__struct_fields__}
