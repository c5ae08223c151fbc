"""Whether the kernel would let a waiting caller bind a port itself (capabilities(7)).

The supervisor binds in its place, with the rights of the supervisor: nobody gets a port by
that which the kernel would not give.
"""

from __future__ import annotations

import os

_CAP_NET_BIND_SERVICE = 10
_FREE = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_USUAL_FREE = 1024


def may_bind(thread_id: int, port: int) -> bool:
    """Return whether a thread may bind a port, as far as its number decides.

    A thread in a user namespace of its own has every capability there, and none here.  One
    that is gone may not.
    """
    if port == 0 or port >= lowest_free_port():
        return True
    try:
        return _shares_our_users(thread_id) and _is_capable(thread_id)
    except (OSError, ValueError):
        return False


def lowest_free_port() -> int:
    """Return the first port that every user may bind (ip(7))."""
    try:
        with open(_FREE, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return _USUAL_FREE


def _shares_our_users(thread_id: int) -> bool:
    ours, theirs = os.stat("/proc/self/ns/user"), os.stat(f"/proc/{thread_id}/ns/user")
    return os.path.samestat(ours, theirs)


def _is_capable(thread_id: int) -> bool:
    with open(f"/proc/{thread_id}/status", "rb") as file:
        for line in file:
            if line.startswith(b"CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_NET_BIND_SERVICE & 1)
    return False
