"""The field `gapless` of a declaration: settings that PM2 has no field for."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import msgspec

from gapless.base.errors import MisuseError
from gapless.config import surroundings
from gapless.config.pm2.declaration import Declaration
from gapless.config.toml import app_schema, app_tables
from gapless.config.toml.schema import (
    AFFINITY,
    NOT_WITH_AFFINITY,
    OVERLAP,
    TAKEOVER,
    Affine,
    Dropped,
    MayOverlap,
    MayTake,
    Patterns,
    Port,
    Seconds,
    Table,
    UrlPath,
    Word,
)
from gapless.supervisor.memory import spec

NOT_WITH_WAIT = (
    "wait_ready: true waits for process.send('ready'), and health for an answer: an app is "
    "ready by one of them; leave out the other (`alive` may ask for a path as well)"
)


class Rotation(Table, frozen=True):
    """When log files are moved aside; with it those that the declaration names too."""

    rotate_mb: Annotated[float, msgspec.Meta(ge=0)] = 10
    rotate_hours: Annotated[float, msgspec.Meta(ge=0)] = 0
    keep: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5


class GaplessField(Table, frozen=True):
    """The keys of the field `gapless`; they mean the same as in an [app.NAME] table."""

    health: UrlPath | None = None
    alive: Literal["never", "listening"] | app_schema.Alive = "never"
    drain_timeout_s: Seconds | None = None
    drops: tuple[Dropped, ...] = ()
    environment_file: str | tuple[str, ...] = ()
    umask: str | int = ""
    outgoing: tuple[Port, ...] = ()
    min_healthy_s: Seconds = 2.0
    overlap: MayOverlap = "auto"
    shared_files: Patterns = ()
    takeover: MayTake = "auto"
    affinity: Affine = "none"
    share_ports: Word | None = None
    preload: bool = True
    interception: bool = True
    checks_port: bool = False
    unhandled_rejections: Literal["log", "strict"] = "log"
    limits: app_schema.Limits = app_schema.Limits()
    log: Rotation | None = None
    after: tuple[str, ...] = ()


def _share_ports(keys: GaplessField, built: spec.AppSpec) -> str:
    """Return the word of the apps with which one shares its ports."""
    if keys.affinity != "none":
        return ""
    return built.share_ports if keys.share_ports is None else keys.share_ports


def labels_before(declared: Declaration) -> tuple[str, ...]:
    """Return the labels of the apps that one is after; none if the field is wrong."""
    try:
        found = msgspec.convert(declared.get("gapless", {}), GaplessField, strict=True)
    except msgspec.ValidationError:
        return ()
    return found.after


def with_gapless_field(declared: Declaration, built: spec.AppSpec) -> spec.AppSpec:
    """Return a spec with the settings of the field `gapless`; `after` has labels.

    Raises MisuseError.
    """
    found = declared.get("gapless")
    if found is None:
        return built
    try:
        keys = msgspec.convert(found, GaplessField, strict=True)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(GaplessField))
        raise MisuseError(
            declared.message_for("gapless", f"{error}; known keys: {known}")
        ) from None
    try:
        files = surroundings.files(keys.environment_file)
        umask = surroundings.umask(keys.umask)
    except ValueError as error:
        raise MisuseError(declared.message_for("gapless", str(error))) from None
    if keys.share_ports and keys.affinity != "none":
        raise MisuseError(declared.message_for("gapless", NOT_WITH_AFFINITY))
    try:
        alive = app_tables.alive(keys.alive)
    except ValueError as error:
        raise MisuseError(declared.message_for("gapless.alive", str(error))) from None
    ready = built.ready
    if keys.health is not None:
        if ready.when is spec.When.NOTIFY:
            raise MisuseError(declared.message_for("gapless.health", NOT_WITH_WAIT))
        ready = replace(ready, when=spec.When.HTTP, path=keys.health)
    stop = built.stop
    if keys.drain_timeout_s is not None:
        stop = replace(stop, drain_timeout_s=keys.drain_timeout_s)
    log = built.log
    if keys.log is not None:
        log = replace(
            log,
            rotate_own=True,
            rotate_bytes=int(keys.log.rotate_mb * (1 << 20)),
            rotate_s=keys.log.rotate_hours * 3600,
            keep=keys.log.keep,
        )
    return replace(
        built,
        ready=ready,
        log=log,
        alive=alive,
        stop=stop,
        drops=tuple(str(entry) for entry in keys.drops),
        environment_files=(*built.environment_files, *files),
        umask=umask,
        outgoing=tuple(sorted(set(keys.outgoing))),
        min_healthy_s=keys.min_healthy_s,
        overlap=OVERLAP[keys.overlap],
        shared_files=keys.shared_files,
        takeover=TAKEOVER[keys.takeover],
        affinity=AFFINITY[keys.affinity],
        share_ports=_share_ports(keys, built),
        preload=keys.preload,
        interception=keys.interception,
        checks_port=keys.checks_port,
        survives_rejections=built.survives_rejections
        and keys.unhandled_rejections == "log",
        limits=app_tables.limits(keys.limits),
        after=tuple(dict.fromkeys(keys.after)),
    )
