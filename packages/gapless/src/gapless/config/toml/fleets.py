"""From the [rollout.NAME] and [coordinator] tables to fleets."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gapless.base import home, paths
from gapless.base.errors import MisuseError
from gapless.base.outside import secret_files
from gapless.config.toml import tables
from gapless.config.toml.document import Document, Keys, decode, read
from gapless.config.toml.fleet_schema import Coordinator, Rollout
from gapless.coordinator.etcd_settings import EtcdSettings
from gapless.releases.model import ReleaseSpec
from gapless.rollout.policy import Policy

_PRIVATE = "its owner alone, or with its group, may read it: chmod 600"


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
    health_from: tuple[str, ...] = ()
    """The networks from which balancers ask; none: everybody may."""
    address: str = ""
    """Where balancers reach this host, `host` or `host:port`; empty: the agent finds it."""


def load(
    path: str, environment: Mapping[str, str], *, with_secrets: bool = True
) -> dict[str, Fleet]:
    """Return the fleets of a gapless.toml; none if it has no [rollout.NAME].

    Without secrets no file of another program is read: the user may not be the one who has
    the password.  Raises MisuseError that names every mistake, NotFoundError.
    """
    document = read(Path(path))
    declared = document.tables.get("rollout", {})
    if not declared:
        return {}
    releases = tables.load_releases(path, environment)
    mistakes: list[MisuseError] = []
    fleets = {}
    for name in declared:
        try:
            fleets[name] = _fleet(document, name, releases, with_secrets=with_secrets)
        except MisuseError as error:
            mistakes.append(error)
    if mistakes:
        # What [coordinator] has wrong is wrong for each fleet.
        messages = dict.fromkeys(error.message for error in mistakes)
        raise MisuseError("\n".join(messages), hint=mistakes[0].hint)
    return fleets


def _fleet(
    document: Document,
    name: str,
    releases: Mapping[str, ReleaseSpec],
    *,
    with_secrets: bool,
) -> Fleet:
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
        etcd=_etcd(document, coordinator) if with_secrets else None,
        copy=os.path.normpath(os.path.join(folder, copy)) if copy else "",
        publishers=os.path.normpath(os.path.join(folder, table.publishers))
        if table.publishers
        else "",
        declaration=table.declaration,
        profile=table.profile,
        health=table.health,
        health_listen=table.health_listen,
        health_from=_health_from(document, keys, table),
        address=table.address,
    )


def _health_from(document: Document, keys: Keys, table: Rollout) -> tuple[str, ...]:
    for each in table.health_from:
        try:
            ipaddress.ip_network(each)
        except ValueError as error:
            found = document.message_for(
                (*keys, "health_from"), f"{error}; write 10.0.0.0/8, or 10.0.0.7"
            )
            raise MisuseError(found) from None
    return table.health_from


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
    keys = ("coordinator",)
    for url in table.etcd:
        _check_endpoint(document, (*keys, "etcd"), table, url)
    password = ""
    try:
        if table.password_file:
            content = secret_files.read(table.password_file)
            password = content.decode(errors="strict").strip()
    except (OSError, UnicodeDecodeError) as error:
        found = document.message_for((*keys, "password_file"), _reason(error))
        raise MisuseError(found, hint=_PRIVATE) from error
    try:
        if table.key_file:
            secret_files.check(table.key_file)
    except OSError as error:
        found = document.message_for((*keys, "key_file"), _reason(error))
        raise MisuseError(found, hint=_PRIVATE) from error
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


def _check_endpoint(
    document: Document, keys: Keys, table: Coordinator, url: str
) -> None:
    """Refuse an address that would carry a password openly.  Raises MisuseError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise MisuseError(document.message_for(keys, f"{url!r}: {error}")) from None
    del port  # it was parsed, which is its check
    if not host or "@" in parts.netloc or not url.isprintable():
        problem = f"{url!r} is no endpoint: write https://HOST:2379"
        raise MisuseError(
            document.message_for(keys, problem),
            hint="the user and the password stand in `user` and `password_file`",
        )
    has_password = bool(table.user and table.password_file)
    if (
        parts.scheme == "http"
        and has_password
        and not (table.insecure or _is_loopback(host))
    ):
        problem = f"the password of {table.user} would travel to {url} unencrypted"
        raise MisuseError(
            document.message_for(keys, problem),
            hint="https://, with ca_file; or insecure = true where nobody else is on the "
            "network",
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error)
