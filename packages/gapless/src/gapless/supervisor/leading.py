"""How long an instance serves on once its health path says no.  Pure, a part of `plan`.

The balancer is told first.  Whether it heard is seen, not guessed: no request has come
for `quiet_s`.  One that checks nothing goes on sending; for it there is `lead_s`, after
which requests are refused all the same, and the balancer sends each to another server.
"""

from __future__ import annotations

from collections.abc import Iterable

from gapless.supervisor.ending import LOOK_S
from gapless.supervisor.model import Instance
from gapless.supervisor.spec import Recycle


def refuse_at(instance: Instance, beside: Iterable[Instance], lead: Recycle) -> float:
    """Return when an instance that leaves may refuse, as far as is known now.

    Those *beside* it stand behind the same address: what they are asked, it could be.
    """
    last = max((i.arrived_at for i in beside), default=0.0)
    quiet_at = max(instance.mode_since, last) + lead.quiet_s
    return min(quiet_at, instance.mode_since + lead.lead_s)


def look_at(now: float, refuse_at: float) -> float:
    """Return when to look again: the kernel tells nobody that a request has come."""
    return min(refuse_at, now + LOOK_S)
