"""How long an instance goes on serving after its health path says no.  Pure.

The balancer is told first.  The supervisor sees whether it has reacted: then no request has
come for `quiet_s`.  A balancer that checks no health path goes on sending requests: after
`lead_s` they are refused all the same, and it sends each of them to another server.
"""

from __future__ import annotations

from collections.abc import Iterable

from gapless.supervisor.decide.ending import CHECK_S
from gapless.supervisor.memory.model import Instance
from gapless.supervisor.memory.spec import Recycle


def refuse_at(
    instance: Instance, neighbours: Iterable[Instance], lead: Recycle
) -> float:
    """Return when an instance that leaves may refuse requests, as far as is known now.

    The *neighbours* listen on the same address: a request to one of them could have come
    to this instance.
    """
    last = max((each.last_request_at for each in neighbours), default=0.0)
    quiet_at = max(instance.mode_since, last) + lead.quiet_s
    return min(quiet_at, instance.mode_since + lead.lead_s)


def next_check(now: float, refuse_at: float) -> float:
    """Return when to check again: the kernel sends no event when a request comes."""
    return min(refuse_at, now + CHECK_S)
