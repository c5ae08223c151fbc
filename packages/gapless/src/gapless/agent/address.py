"""Where a host is reached: what its agent tells those who write balancers' settings."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gapless.base.errors import MisuseError
from gapless.config.toml.fleets import Fleet
from gapless.rollout.model import HostReport

_WILDCARDS = ("0.0.0.0", "::", "*", "")  # noqa: S104 - what others bind is read
_SOMEWHERE = "192.0.2.1"
"""Nobody's address (RFC 5737): the route there is the default one; nothing is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Where balancers reach a host.

    An address in full is taken as it is.  Else the app's own listening addresses count:
    a wildcard becomes the host's own address, loopback is nobody else's.
    """

    host: str = ""
    """The host's own address; empty: none was found."""
    address: str = ""
    """`host:port` of the app, said by hand; empty: where it listens."""
    health: str = ""
    """`host:port` where the agent answers for the app; empty: nowhere."""

    def addresses(self, listening: Iterable[str]) -> tuple[str, ...]:
        """Return where the app is reached that listens on some addresses."""
        if self.address:
            return (self.address,)
        found = []
        for each in listening:
            host, port = split(each)
            host = self.host if host in _WILDCARDS else host
            if host and not _is_loopback(host):
                found.append(join(host, port))
        return tuple(sorted(set(found)))


def seen(
    report: HostReport, listed: Mapping[str, Any] | None, app: str, presence: Presence
) -> HostReport:
    """Return what a host says of itself after a look at what runs there.  Pure.

    Addresses stay known while the app does not run.
    """
    if listed is None:
        return dataclasses.replace(report, health=presence.health, drains=False)
    rows: list[dict[str, Any]] = listed["apps"]
    row = next((each for each in rows if each["name"] == app), {})
    addresses = presence.addresses(row.get("addresses", ()))
    return dataclasses.replace(
        report,
        addresses=addresses or report.addresses,
        health=presence.health,
        drains=bool(listed["supervisor"]["draining"]),
        recycles=bool(row.get("recycles")),
    )


def presence(fleet: Fleet, said: str, health: str) -> Presence:
    """Return where this host is reached.

    *said* is an address by hand, *health* where the agent listens.  Raises MisuseError.
    """
    said = said or fleet.address
    host, port = split(said) if _names_port(said) else (said.strip("[]"), "")
    if port and not host:
        raise MisuseError(f"address {said!r}: write HOST, or HOST:PORT")
    own = host or _own_address(fleet)
    answer = ""
    if health:
        bound, answering = split(health)
        bound = own if bound in _WILDCARDS else bound
        answer = join(bound, answering) if bound else ""
    return Presence(host=own, address=said if port else "", health=answer)


def split(address: str) -> tuple[str, str]:
    """Return host and port of an address, the host without brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port


def join(host: str, port: str) -> str:
    """Return an address of a host and a port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _names_port(said: str) -> bool:
    """Tell an address with a port from an IPv6 address, which has colons of its own."""
    host, colon, port = said.rpartition(":")
    return bool(colon) and port.isdigit() and (":" not in host or host.endswith("]"))


def _own_address(fleet: Fleet) -> str:
    """Return the address with which this host reaches others; empty: there is none."""
    towards = [urlsplit(each).hostname or "" for each in _endpoints(fleet)]
    for host in (*towards, _SOMEWHERE):
        found = _source(host)
        if found and not _is_loopback(found):
            return found
    return ""


def _endpoints(fleet: Fleet) -> tuple[str, ...]:
    return fleet.etcd.endpoints if fleet.etcd is not None else ()


def _source(host: str) -> str:
    """Return from which address the kernel would send to a host; nothing is sent."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[
            0
        ]
        with socket.socket(family, kind) as sock:
            sock.connect(place)
            return str(sock.getsockname()[0])
    except OSError:
        return ""


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host in ("::1", "localhost")
