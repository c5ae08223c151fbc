"""The [rollout.NAME] and [coordinator] tables: how a fleet changes, and where it agrees."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gapless.base import home
from gapless.base.errors import MisuseError
from gapless.config import document, resolve, schema
from gapless.config.document import Document
from gapless.coordinator.etcd_settings import EtcdSettings
from gapless.releases.model import ReleaseSpec
from gapless.rollout.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One app that runs on several hosts."""

    release: ReleaseSpec
    policy: Policy
    file: str
    """Where it is declared; the app's own table may be there too."""
    directory: str
    """Where the fleet agrees, unless by etcd."""
    etcd: EtcdSettings | None
    copy: str = ""
    """Below it releases are copied to this host's own disk; empty: they are not."""
    declaration: str = ""
    """The file in each release that declares the app; empty: see agent.turn.first_start."""
    profile: str = ""
    """Which env_NAME of a PM2 declaration is laid over its env."""
    health: str = ""
    """A path that a host that changed is asked for while it is watched."""
    health_listen: str = ""
    """`[host]:port` where the agent answers balancers; empty: nowhere."""
    address: str = ""
    """Where balancers reach this host, `host` or `host:port`; empty: it is found out."""


def load(path: str, environment: Mapping[str, str]) -> dict[str, Fleet]:
    """Return the fleets of a gapless.toml; none if it has no [rollout.NAME].

    Raises MisuseError that names every mistake, NotFoundError.
    """
    found = document.read(Path(path))
    tables = found.tables.get("rollout", {})
    if not tables:
        return {}
    releases = resolve.load_releases(path, environment)
    mistakes: list[str] = []
    fleets = {}
    for name in tables:
        try:
            fleets[name] = _fleet(found, name, releases)
        except MisuseError as error:
            mistakes.append(error.message)
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return fleets


def _fleet(found: Document, name: str, releases: Mapping[str, ReleaseSpec]) -> Fleet:
    keys = ("rollout", name)
    if name not in releases:
        raise MisuseError(found.complaint(keys, f"there is no [release.{name}]"))
    table: schema.Rollout = document.decode(found, keys, schema.Rollout)
    policy = Policy(
        slots=str(table.slots),
        canary=tuple(table.canary),
        bake_s=table.bake_s,
        waves=tuple(str(each) for each in table.waves),
        min_healthy_s=table.min_healthy_s,
        max_failures=table.max_failures,
        revert=table.revert,
        fetch_timeout_s=table.fetch_timeout_s,
        change_timeout_s=table.change_timeout_s,
        deadline_s=table.deadline_s,
        revert_deadline_s=table.revert_deadline_s,
        slot_ttl_s=table.slot_ttl_s,
        gone_s=table.gone_s,
        freeze=tuple(table.freeze),
    )
    if wrong := policy.mistakes():
        raise MisuseError("\n".join(found.complaint(keys, each) for each in wrong))
    agree = _coordinator(found)
    folder = os.path.dirname(home.absolute(str(found.path)))
    copy = table.copy
    if copy is True:
        copy = os.path.join(home.path(), "releases")
    return Fleet(
        release=releases[name],
        policy=policy,
        file=home.absolute(str(found.path)),
        directory=os.path.normpath(os.path.join(folder, agree.directory))
        if agree.directory
        else f"{releases[name].base}/fleet",
        etcd=_etcd(found, agree),
        copy=os.path.normpath(os.path.join(folder, copy)) if copy else "",
        declaration=table.declaration,
        profile=table.profile,
        health=table.health,
        health_listen=table.health_listen,
        address=table.address,
    )


def _coordinator(found: Document) -> schema.Coordinator:
    if "coordinator" not in found.tables:
        return schema.Coordinator()
    table: schema.Coordinator = document.decode(
        found, ("coordinator",), schema.Coordinator
    )
    if table.directory and table.etcd:
        raise MisuseError(
            found.complaint(("coordinator",), "write directory or etcd, not both")
        )
    return table


def _etcd(found: Document, table: schema.Coordinator) -> EtcdSettings | None:
    if not table.etcd:
        return None
    password = ""
    if table.password_file:
        try:
            password = Path(table.password_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            keys = ("coordinator", "password_file")
            raise MisuseError(found.complaint(keys, str(error))) from error
    return EtcdSettings(
        endpoints=tuple(table.etcd),
        prefix=table.prefix,
        user=table.user,
        password=password,
        ca_file=table.ca_file,
        certificate_file=table.certificate_file,
        key_file=table.key_file,
        timeout_s=table.timeout_s,
    )
