"""The servers behind a balancer.  Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)?:(\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One server of a pool."""

    address: str
    """`host:port` of the app."""
    name: str = ""
    """The name of its host; empty: it is named by its number."""
    health: str = ""
    """`host:port` of the agent's health endpoint; empty: the app itself is checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The servers of one app, and the address on which the balancer listens."""

    name: str
    members: tuple[Member, ...]
    listen: str = ":80"
    """`host:port`, or `:port` for every address."""
    health: str = ""
    """The path of the health check, which fails before requests are refused.

    It is the app's own, or that of the health endpoints if members have one.  Empty:
    there is no check.
    """
    largest_body_bytes: int = 1 << 20
    """Requests up to this size are sent to another server when one refuses them."""

    def mistakes(self) -> list[str]:
        """Return what is wrong with the pool, each with what would be right."""
        found = []
        if _NAME.fullmatch(self.name) is None:
            found.append(f"name {self.name!r}: letters, digits and . _ - only")
        servers = [each.address for each in self.members]
        answers = [each.health for each in self.members if each.health]
        for address in (*servers, *answers, self.listen):
            matched = _ADDRESS.fullmatch(address)
            if matched is None or not 0 < int(matched[1]) < 65536:
                found.append(f"{address!r} is no address; write 10.0.0.2:3000")
        if any(address.startswith(":") for address in servers):
            found.append("a server needs a host: write 10.0.0.2:3000")
        if len(set(servers)) != len(servers):
            found.append("a server is named twice")
        if len(servers) < 2:
            found.append("one server cannot hand a request to another: name two")
        if self.health and re.fullmatch(r"/[!-~]*", self.health) is None:
            found.append(f"health {self.health!r}: write a path, like /health")
        return found


def identifier(name: str) -> str:
    """Return a name in the characters that both balancers accept."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
