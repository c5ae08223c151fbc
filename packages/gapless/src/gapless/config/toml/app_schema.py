"""The keys of an [app.NAME] table, their types and their defaults."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gapless.config.toml.schema import (
    Affine,
    Command,
    Count,
    Dropped,
    MayOverlap,
    MayTake,
    Patterns,
    Port,
    Seconds,
    Table,
    UrlPath,
)


class Http(Table, frozen=True):
    """An HTTP probe."""

    http: UrlPath


class Ready(Table, frozen=True):
    """When an instance is ready."""

    when: Literal["auto", "listening", "notify"] | Http = "auto"
    http: UrlPath | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 30.0


class Alive(Table, frozen=True):
    """When an instance counts as hanging."""

    when: Literal["listening"] | Http = "listening"
    http: UrlPath | None = None
    every_s: Annotated[float, msgspec.Meta(ge=0.1, le=86_400)] = 10.0
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 5.0
    failures: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3


class Stop(Table, frozen=True):
    """How an instance is stopped."""

    signal: str = "SIGTERM"
    message: bool = False
    drain_timeout_s: Seconds = 30.0
    kill_timeout_s: Seconds = 5.0
    tree: bool = True


class Restart(Table, frozen=True):
    """What happens when an instance ends by itself."""

    automatic: bool = True
    max: Annotated[int, msgspec.Meta(ge=0)] | None = None
    min_uptime_s: Seconds = 1.0
    delay_s: Seconds | None = None
    backoff_s: Seconds = 0.0
    stop_exit_codes: tuple[Annotated[int, msgspec.Meta(ge=0, le=255)], ...] = ()


class Renew(Table, frozen=True):
    """What makes gapless begin a handoff by itself."""

    memory_mb: Annotated[float, msgspec.Meta(ge=0)] = 0
    cron: str = ""
    watch: tuple[str, ...] = ()
    ignore: tuple[str, ...] | None = None
    watch_delay_s: Seconds = 0.2


class Recycle(Table, frozen=True):
    """How an app is recycled."""

    max_unavailable: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    lead_s: Seconds = 0.0
    quiet_s: Seconds = 1.0


class Log(Table, frozen=True):
    """Where the output goes, and when its files are rotated."""

    format: Literal["text", "plain", "json"] = "text"
    date_format: str = ""
    output: str = ""
    error: str = ""
    combined: str = ""
    by_instance: bool = False
    rotate_mb: Annotated[float, msgspec.Meta(ge=0)] = 10
    rotate_hours: Annotated[float, msgspec.Meta(ge=0)] = 0
    keep: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5


class Limits(Table, frozen=True):
    """Resource limits of an instance; memory and processor are those of all of it."""

    open_files: Annotated[int, msgspec.Meta(ge=8)] | None = None
    processes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    core_mb: Annotated[int, msgspec.Meta(ge=0)] | None = None
    memory_mb: Annotated[float, msgspec.Meta(ge=4, le=1 << 30)] | None = None
    cpu_percent: Annotated[float, msgspec.Meta(ge=1, le=1_000_000)] | None = None


class App(Table, frozen=True):
    """An app: a program that a team runs."""

    command: Command
    directory: str = ""
    namespace: str = "default"
    instances: Count | Literal["cpus"] = 1
    environment: dict[str, str | int | float | bool] = msgspec.field(
        default_factory=dict
    )
    environment_file: str | tuple[str, ...] = ()
    listen: tuple[str, ...] = ()
    drops: tuple[Dropped, ...] = ()
    outgoing: tuple[Port, ...] = ()
    ready: Literal["auto", "listening", "notify"] | Ready = "auto"
    alive: Literal["never", "listening"] | Alive = "never"
    stop: Stop = Stop()
    restart: Restart = Restart()
    log: Log = Log()
    limits: Limits = Limits()
    min_healthy_s: Seconds = 2.0
    overlap: MayOverlap = "auto"
    shared_files: Patterns = ()
    takeover: MayTake = "auto"
    affinity: Affine = "none"
    recycle: Recycle = Recycle()
    renew: Renew = Renew()
    interception: bool = True
    preload: bool = True
    instance_variable: str = ""
    increment_variable: str = ""
    pid_file: str = ""
    user: str = ""
    group: str = ""
    umask: str | int = ""
    after: tuple[str, ...] = ()
