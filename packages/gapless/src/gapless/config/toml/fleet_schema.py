"""The keys of [release.NAME], [rollout.NAME] and [coordinator], and their defaults."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gapless.config.toml.schema import Command, Seconds, Table


class Hooks(Table, frozen=True):
    """Commands that run once for each release."""

    before_flip: Command = ""
    after: Command = ""
    failed: Command = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0


class Bounds(Table, frozen=True):
    """How much a tarball may hold."""

    max_unpacked_mb: Annotated[int, msgspec.Meta(ge=1)] = 2048
    max_files: Annotated[int, msgspec.Meta(ge=1)] = 200_000
    max_upload_mb: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """What the tarball itself may have; as much as `max_unpacked_mb` if it is not set."""
    max_depth: Annotated[int, msgspec.Meta(ge=1, le=200)] = 100
    """Who removes a directory holds one descriptor open for each level."""
    max_memory_mb: Annotated[int, msgspec.Meta(ge=64)] = 512
    timeout_s: Annotated[float, msgspec.Meta(ge=1, le=86400)] = 600.0


class Release(Table, frozen=True):
    """How tarballs of an app become releases."""

    base: str
    push: str = ""
    """Where `gapless push` uploads to: user@host:/mnt/dfs, or where that is mounted."""
    build: str | list[str | list[str]] | None = None
    build_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    build_user: str = ""
    build_environment: tuple[str, ...] | dict[str, str | int | bool] = ()
    """Names of variables that pass, or NAME=value; or a table of values."""
    build_scripts: bool = True
    signers: str = ""
    """A file of allowed signers: an upload is a release only if one of them signed it."""
    signing_key: str = ""
    """The key with which the publisher signs what it rolls out."""
    shared: tuple[str, ...] = ()
    keep: Annotated[int, msgspec.Meta(ge=1)] = 5
    hooks: Hooks = Hooks()
    limits: Bounds = Bounds()


class Rollout(Table, frozen=True):
    """How a fleet may change."""

    slots: Annotated[int, msgspec.Meta(ge=1)] | str = 1
    canary: tuple[str, ...] = ()
    bake_s: Seconds = 0.0
    waves: tuple[int | str, ...] = ()
    min_healthy_s: Seconds = 2.0
    max_failures: Annotated[int, msgspec.Meta(ge=0)] = 0
    revert: bool = True
    fetch_timeout_s: Seconds = 300.0
    change_timeout_s: Seconds = 600.0
    deadline_s: Seconds = 0.0
    revert_deadline_s: Seconds = 0.0
    slot_ttl_s: Seconds = 15.0
    gone_s: Seconds = 90.0
    freeze: tuple[str, ...] = ()
    copy: bool | str = False
    publishers: str = ""
    """A file of allowed signers: hosts run only what one of them has signed."""
    declaration: str = ""
    profile: str = ""
    health: Annotated[str, msgspec.Meta(pattern="^(/.*)?$")] = ""
    health_listen: Annotated[str, msgspec.Meta(pattern=r"^(.*:\d{1,5})?$")] = ""
    health_from: tuple[str, ...] = ()
    """The networks from which balancers ask, like 10.0.0.0/8; none: everybody may."""
    address: str = ""


class Coordinator(Table, frozen=True):
    """Where the hosts agree; by default the directory `fleet` below the base directory."""

    directory: str = ""
    etcd: tuple[Annotated[str, msgspec.Meta(pattern="^https?://")], ...] = ()
    prefix: str = "gapless"
    user: str = ""
    password_file: str = ""
    insecure: bool = False
    """Send the password over http to other hosts, where everybody on the way reads it."""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0
