"""What a balancer stands in front of.  Pure."""

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
    """The host that it is; empty: its number stands for it."""
    health: str = ""
    """`host:port` where an agent answers for it; empty: the app is asked itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The servers of one app, and where users come in."""

    name: str
    members: tuple[Member, ...]
    listen: str = ":80"
    """`host:port`, or `:port` for every address."""
    health: str = ""
    """The path that says no before requests are refused; empty: there is none.

    The app's own, or, where members have one, that of the agent's answer.
    """
    largest_body_bytes: int = 1 << 20
    """Requests up to this size are tried elsewhere when a server refuses them."""

    def mistakes(self) -> list[str]:
        """Return what is wrong with it, with what would be right."""
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
    """Return what both balancers take for a name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
