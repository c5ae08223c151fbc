"""The words of a gapless.toml, their types and their defaults."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400 * 30)]
MOST_INSTANCES = 1024
Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_INSTANCES)]
Command = str | list[str]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class _Table(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A table in which an unknown word is an error."""


class Http(_Table, frozen=True):
    """An HTTP probe."""

    http: Annotated[str, msgspec.Meta(pattern="^/")]


class Ready(_Table, frozen=True):
    """When an instance is ready."""

    when: Literal["auto", "listening", "notify"] | Http = "auto"
    http: Annotated[str, msgspec.Meta(pattern="^/")] | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 30.0


class Stop(_Table, frozen=True):
    """How an instance is ended."""

    signal: str = "SIGTERM"
    message: bool = False
    drain_timeout_s: Seconds = 30.0
    kill_timeout_s: Seconds = 5.0
    tree: bool = True


class Restart(_Table, frozen=True):
    """What happens after a crash."""

    automatic: bool = True
    max: Annotated[int, msgspec.Meta(ge=0)] = 16
    min_uptime_s: Seconds = 1.0
    delay_s: Seconds | None = None
    backoff_s: Seconds = 0.0
    stop_exit_codes: list[Annotated[int, msgspec.Meta(ge=0, le=255)]] = []


class Renew(_Table, frozen=True):
    """What makes gapless hand an app over by itself."""

    memory_mb: Annotated[float, msgspec.Meta(ge=0)] = 0
    cron: str = ""
    watch: list[str] = []
    ignore: list[str] | None = None
    watch_delay_s: Seconds = 0.2


class Recycle(_Table, frozen=True):
    """How an app is recycled."""

    max_unavailable: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    lead_s: Seconds = 0.0
    quiet_s: Seconds = 1.0


class Log(_Table, frozen=True):
    """Where output goes."""

    format: Literal["text", "plain", "json"] = "text"
    date_format: str = ""
    output: str = ""
    error: str = ""
    combined: str = ""
    by_instance: bool = False
    rotate_mb: Annotated[float, msgspec.Meta(ge=0)] = 10
    rotate_hours: Annotated[float, msgspec.Meta(ge=0)] = 0
    keep: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5


class Limits(_Table, frozen=True):
    """Resource limits of an instance."""

    open_files: Annotated[int, msgspec.Meta(ge=8)] | None = None
    processes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    core_mb: Annotated[int, msgspec.Meta(ge=0)] | None = None


class App(_Table, frozen=True):
    """A program a team runs."""

    command: Command
    directory: str = ""
    namespace: str = "default"
    instances: Count | Literal["cpus"] = 1
    environment: dict[str, str | int | float | bool] = {}
    listen: list[str] = []
    outgoing: list[Port] = []
    ready: Literal["auto", "listening", "notify"] | Ready = "auto"
    stop: Stop = Stop()
    restart: Restart = Restart()
    log: Log = Log()
    limits: Limits = Limits()
    min_healthy_s: Seconds = 2.0
    overlap: bool | Literal["auto"] = "auto"
    recycle: Recycle = Recycle()
    renew: Renew = Renew()
    interception: bool = True
    preload: bool = True
    instance_variable: str = ""
    increment_variable: str = ""
    pid_file: str = ""
    user: str = ""
    group: str = ""


class Extra(_Table, frozen=True):
    """What a declaration for PM2 may add, in its field `gapless`."""

    health: Annotated[str, msgspec.Meta(pattern="^/")] | None = None
    drain_timeout_s: Seconds | None = None
    outgoing: list[Port] = []
    min_healthy_s: Seconds = 2.0
    overlap: bool | Literal["auto"] = "auto"
    preload: bool = True
    interception: bool = True


class Hooks(_Table, frozen=True):
    """Commands that run once per release."""

    before_flip: Command = ""
    after: Command = ""
    failed: Command = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0


class Bounds(_Table, frozen=True):
    """What a tarball may hold."""

    max_unpacked_mb: Annotated[int, msgspec.Meta(ge=1)] = 2048
    max_files: Annotated[int, msgspec.Meta(ge=1)] = 200_000


class Release(_Table, frozen=True):
    """How tarballs of an app become releases."""

    base: str
    push: str = ""
    """Where `gapless push` uploads to: user@host:/mnt/dfs, or where that is mounted."""
    build: str | list[str | list[str]] | None = None
    build_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    shared: list[str] = []
    keep: Annotated[int, msgspec.Meta(ge=1)] = 5
    hooks: Hooks = Hooks()
    limits: Bounds = Bounds()


class Rollout(_Table, frozen=True):
    """How a fleet may change."""

    slots: Annotated[int, msgspec.Meta(ge=1)] | str = 1
    canary: list[str] = []
    bake_s: Seconds = 0.0
    waves: list[int | str] = []
    min_healthy_s: Seconds = 2.0
    max_failures: Annotated[int, msgspec.Meta(ge=0)] = 0
    revert: bool = True
    fetch_timeout_s: Seconds = 300.0
    change_timeout_s: Seconds = 600.0
    deadline_s: Seconds = 0.0
    revert_deadline_s: Seconds = 0.0
    slot_ttl_s: Seconds = 15.0
    gone_s: Seconds = 90.0
    freeze: list[str] = []
    copy: bool | str = False
    declaration: str = ""
    profile: str = ""
    health: Annotated[str, msgspec.Meta(pattern="^(/.*)?$")] = ""
    health_listen: Annotated[str, msgspec.Meta(pattern=r"^(.*:\d{1,5})?$")] = ""
    address: str = ""


class Coordinator(_Table, frozen=True):
    """Where hosts agree; nothing said: a directory `fleet` below the releases' base."""

    directory: str = ""
    etcd: list[Annotated[str, msgspec.Meta(pattern="^https?://")]] = []
    prefix: str = "gapless"
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0


TABLES = {"app": App, "release": Release, "rollout": Rollout}
