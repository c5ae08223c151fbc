"""From the [rollout.NAME] and [coordinator] tables to fleets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gapless.base import home, paths
from gapless.base.errors import MisuseError
from gapless.config.toml import tables
from gapless.config.toml.document import Document, decode, read
from gapless.config.toml.fleet_schema import Coordinator, Rollout
from gapless.coordinator.etcd_settings import EtcdSettings
from gapless.releases.model import ReleaseSpec
from gapless.rollout.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One app that runs on several hosts."""

    release: ReleaseSpec
    policy: Policy
    file: str
    """The gapless.toml that declares the fleet; it may declare the app, too."""
    directory: str
    """The directory in which the hosts agree, if not in etcd."""
    etcd: EtcdSettings | None
    copy: str = ""
    """The directory on the host's own disk to copy releases to; empty: no copies."""
    publishers: str = ""
    """The file of who may sign what hosts run; empty: hosts verify no signature."""
    declaration: str = ""
    """The file in each release that declares the app; empty: the agent finds it."""
    profile: str = ""
    """The NAME of the env_NAME that is laid over the env of a PM2 declaration."""
    health: str = ""
    """The path that is requested from a changed host while it is watched."""
    health_listen: str = ""
    """`[host]:port` of the health endpoint for balancers; empty: none."""
    address: str = ""
    """Where balancers reach this host, `host` or `host:port`; empty: the agent finds it."""


def load(path: str, environment: Mapping[str, str]) -> dict[str, Fleet]:
    """Return the fleets of a gapless.toml; none if it has no [rollout.NAME].

    Raises MisuseError that names every mistake, NotFoundError.
    """
    document = read(Path(path))
    declared = document.tables.get("rollout", {})
    if not declared:
        return {}
    releases = tables.load_releases(path, environment)
    mistakes: list[str] = []
    fleets = {}
    for name in declared:
        try:
            fleets[name] = _fleet(document, name, releases)
        except MisuseError as error:
            mistakes.append(error.message)
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return fleets


def _fleet(document: Document, name: str, releases: Mapping[str, ReleaseSpec]) -> Fleet:
    keys = ("rollout", name)
    if name not in releases:
        raise MisuseError(document.message_for(keys, f"there is no [release.{name}]"))
    table: Rollout = decode(document, keys, Rollout)
    policy = Policy(
        slots=str(table.slots),
        canary=table.canary,
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
        freeze=table.freeze,
    )
    if wrong := policy.mistakes():
        raise MisuseError("\n".join(document.message_for(keys, each) for each in wrong))
    coordinator = _coordinator(document)
    folder = os.path.dirname(paths.absolute(str(document.path)))
    copy = table.copy
    if copy is True:
        copy = os.path.join(home.path(), "releases")
    return Fleet(
        release=releases[name],
        policy=policy,
        file=paths.absolute(str(document.path)),
        directory=os.path.normpath(os.path.join(folder, coordinator.directory))
        if coordinator.directory
        else f"{releases[name].base}/fleet",
        etcd=_etcd(document, coordinator),
        copy=os.path.normpath(os.path.join(folder, copy)) if copy else "",
        publishers=os.path.normpath(os.path.join(folder, table.publishers))
        if table.publishers
        else "",
        declaration=table.declaration,
        profile=table.profile,
        health=table.health,
        health_listen=table.health_listen,
        address=table.address,
    )


def _coordinator(document: Document) -> Coordinator:
    if "coordinator" not in document.tables:
        return Coordinator()
    table: Coordinator = decode(document, ("coordinator",), Coordinator)
    if table.directory and table.etcd:
        raise MisuseError(
            document.message_for(("coordinator",), "write directory or etcd, not both")
        )
    return table


def _etcd(document: Document, table: Coordinator) -> EtcdSettings | None:
    if not table.etcd:
        return None
    password = ""
    if table.password_file:
        try:
            password = Path(table.password_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            keys = ("coordinator", "password_file")
            raise MisuseError(document.message_for(keys, str(error))) from error
    return EtcdSettings(
        endpoints=table.etcd,
        prefix=table.prefix,
        user=table.user,
        password=password,
        ca_file=table.ca_file,
        certificate_file=table.certificate_file,
        key_file=table.key_file,
        timeout_s=table.timeout_s,
    )
