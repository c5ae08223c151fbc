"""The servers behind a balancer.  Pure.

Rule: names and addresses come from the reports of hosts, from users and from files.  A
writer of a configuration writes only what `checked` has passed, and names of servers as
`labels` has them, so that nothing is more than one word there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gapless.base.errors import MisuseError
from gapless.base.names import is_address, is_host_name

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PATH = re.compile(r"/[A-Za-z0-9._~:@!*()&+,=%?/-]{0,255}")
"""RFC 3986, but for what quotes, ends or begins something in a configuration."""
LARGEST_BODY_BYTES = 1 << 34
LONGEST_TIMEOUT_S = 24 * 24 * 3600
"""HAProxy counts 2^31 milliseconds at most."""
SHORTEST_TIMEOUT_S = 60
"""How long a server may be silent at least, if nobody says otherwise."""
CONNECT_TIMEOUT_S = 2
"""After that another server is tried: a host without power answers nothing.

A lost packet is sent again after 1 s, and while an instance is replaced one may be lost:
with 1 s here requests failed that both of two servers had lost.
"""
TUNNEL_TIMEOUT_S = 3600
"""How long a websocket may be silent."""


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
    """Requests up to this size are sent to another server when one refuses them.

    nginx answers 413 to larger ones; 0: it takes any size.
    """
    timeout_s: int = SHORTEST_TIMEOUT_S
    """How long a server may be silent in a request that it has begun."""

    def mistakes(self) -> list[str]:
        """Return what is wrong with the pool, each with what would be right."""
        found = []
        if _NAME.fullmatch(self.name) is None:
            found.append(f"name {self.name!r}: letters, digits and . _ - only")
        servers = [each.address for each in self.members]
        answers = [each.health for each in self.members if each.health]
        found += [
            f"{address!r} is no address; write 10.0.0.2:3000"
            for address in (*servers, *answers)
            if not is_address(address, needs_host=False)
        ]
        if not is_address(self.listen, needs_host=False):
            found.append(f"{self.listen!r} is no address; write :80 or 10.0.0.1:80")
        found += [
            f"{each.name!r} cannot name a host"
            for each in self.members
            if each.name and not is_host_name(each.name)
        ]
        if any(address.startswith(":") for address in (*servers, *answers)):
            found.append("a server needs a host: write 10.0.0.2:3000")
        if len(set(servers)) != len(servers):
            found.append("a server is named twice")
        if len(servers) < 2:
            found.append(
                "one server cannot hand a request to another: name two; one alone needs no "
                "such file, `proxy_pass http://127.0.0.1:PORT;` is enough for nginx"
            )
        if self.health and _PATH.fullmatch(self.health) is None:
            found.append(f"health {self.health!r}: write a path, like /health")
        if not 0 <= self.largest_body_bytes <= LARGEST_BODY_BYTES:
            found.append(f"the largest body: {LARGEST_BODY_BYTES >> 20} MiB at most")
        if not 1 <= self.timeout_s <= LONGEST_TIMEOUT_S:
            found.append(f"the timeout: 1 to {LONGEST_TIMEOUT_S} seconds")
        return found

    def checked(self) -> Pool:
        """Return the pool, if nothing is wrong with it.  Raises MisuseError."""
        if mistakes := self.mistakes():
            raise MisuseError("\n".join(mistakes))
        return self

    def labels(self) -> list[str]:
        """Return a name for each server: one word, and no name twice."""
        taken: set[str] = set()
        found = []
        for number, each in enumerate(self.members, start=1):
            label = identifier(each.name) or f"s{number}"
            while label in taken:
                label += f"_{number}"
            taken.add(label)
            found.append(label)
        return found


def identifier(name: str) -> str:
    """Return a name in the characters that both balancers accept."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
