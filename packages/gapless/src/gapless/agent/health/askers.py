"""Who may ask for the health answer, and who goes first when too many ask.  Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from typing import Generic, TypeVar

_IPV6_PREFIX = 64
"""Whoever has one IPv6 address has all of its /64 (RFC 4291, 2.5.1)."""
Key = TypeVar("Key", bound=Hashable)


class AllowedAskers:
    """The networks from which balancers ask; without one everybody may."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        """Read networks like 10.0.0.0/8.  Raises ValueError."""
        self._networks = [ipaddress.ip_network(each) for each in networks]

    def allow(self, host: str) -> bool:
        """Return whether an address may ask."""
        if not self._networks:
            return True
        address = _address(host)
        return any(address in network for network in self._networks)


def source_of(host: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 address."""
    address = _address(host)
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((int(address), _IPV6_PREFIX), strict=False))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address; one of IPv4 that a socket of IPv6 shows is one of IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


class Unfinished(Generic[Key]):
    """Connections whose request has not come yet, by source, the oldest first."""

    def __init__(self) -> None:
        self._by_source: dict[str, dict[Key, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def add(self, source: str, key: Key) -> None:
        """Add the newest connection of a source."""
        self._by_source.setdefault(source, {})[key] = None
        self._count += 1

    def remove(self, source: str, key: Key) -> None:
        """Remove a connection, if it is there."""
        keys = self._by_source.get(source, {})
        if key in keys:
            del keys[key]
            self._count -= 1
        if not keys:
            self._by_source.pop(source, None)

    def first_out(self) -> Key:
        """Return the connection that gives way: the oldest of the source that has most.

        Of sources that have as many, the one gives way that came first.  So a flood from
        one source pushes out its own connections only.
        """
        most = max(self._by_source.values(), key=len)
        return next(iter(most))
