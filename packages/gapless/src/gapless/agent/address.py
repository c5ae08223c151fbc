"""Where balancers reach this host: its agent reports it, `gapless balancer` writes it."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from gapless.base.errors import MisuseError
from gapless.base.names import is_address
from gapless.config.toml.fleets import Fleet

_WILDCARDS = ("0.0.0.0", "::", "*", "")  # noqa: S104 - what others bind is read
_FOREIGN_ADDRESS = "192.0.2.1"
"""For documentation only (RFC 5737): the default route leads there; nothing is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAddresses:
    """Where balancers reach a host and its app.

    A given address with its port is used as it is.  Otherwise the addresses on which the
    app listens count: a wildcard becomes the host's own address, loopback is left out.
    """

    host: str = ""
    """The host's own address; empty: none was found."""
    address: str = ""
    """`host:port` of the app, as configured; empty: where it listens."""
    health: str = ""
    """`host:port` of the agent's health endpoint; empty: it has none."""

    def app_addresses(self, listening: Iterable[str]) -> tuple[str, ...]:
        """Return where balancers reach an app that listens on some addresses."""
        if self.address:
            return (self.address,)
        found = []
        for each in listening:
            if each.startswith(("unix:", "udp:")):
                continue  # balancers of other hosts reach neither
            host, port = split(each)
            host = self.host if host in _WILDCARDS else host
            if host and not _is_loopback(host):
                found.append(join(host, port))
        return tuple(sorted(set(found)))


def host_addresses(fleet: Fleet, given: str, health_listen: str) -> HostAddresses:
    """Return where balancers reach this host.

    *given* takes precedence over the address of the configuration.  Raises MisuseError.
    """
    given = given or fleet.address
    host, port = split(given) if _has_port(given) else (given.strip("[]"), "")
    if port and not host:
        raise MisuseError(f"address {given!r}: write HOST, or HOST:PORT")
    own = host or own_address(fleet)
    health = ""
    if health_listen:
        health_host, health_port = split(health_listen)
        health_host = own if health_host in _WILDCARDS else health_host
        health = join(health_host, health_port) if health_host else ""
    for each in (given if port else "", health):
        if each and not is_address(each):
            raise MisuseError(f"{each!r} is no address; write 10.0.0.2:3000")
    return HostAddresses(host=own, address=given if port else "", health=health)


def split(address: str) -> tuple[str, str]:
    """Return host and port of an address, the host without brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port


def join(host: str, port: str) -> str:
    """Return an address of a host and a port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _has_port(address: str) -> bool:
    """Return whether an address has a port; the colons of an IPv6 address are none."""
    host, colon, port = address.rpartition(":")
    return bool(colon) and port.isdigit() and (":" not in host or host.endswith("]"))


def own_address(fleet: Fleet) -> str:
    """Return the address with which this host reaches others; empty: it has none."""
    targets = [urlsplit(each).hostname or "" for each in _endpoints(fleet)]
    for host in (*targets, _FOREIGN_ADDRESS):
        found = _source_address(host)
        if found and not _is_loopback(found):
            return found
    return ""


def _endpoints(fleet: Fleet) -> tuple[str, ...]:
    return fleet.etcd.endpoints if fleet.etcd is not None else ()


def _source_address(host: str) -> str:
    """Return the address from which the kernel would send to a host; nothing is sent."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(
            host, 9, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind) as sock:
            sock.connect(target)
            return str(sock.getsockname()[0])
    except OSError:
        return ""


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host in ("::1", "localhost")
