"""Whether the first bind of an address in a generation is one of a server.

Servers bind where clients look for them: where they did before, or when they start.  What
a program binds for itself it binds when it needs it: a debugger, a browser that it starts,
ports for media.  Those are left to the kernel, as if there were no gapless.
"""

from __future__ import annotations

from gapless.base import clock
from gapless.supervisor.decide.lookalikes import shape
from gapless.supervisor.memory.apps import Found
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.model import Phase
from gapless.supervisor.sockets.listeners import Listeners

GRACE_S = 5.0
"""An instance is ready with its first address, and may bind the others a little later."""


def is_known(found: Found, listeners: Listeners, address: str) -> bool:
    """Return whether an address is one that the app had, or is to have."""
    app, generation, _ = found
    if any(each.address == address for each in listeners.of_app(app.name)):
        return True
    expected = set(generation.required)
    for seat in generation.seats:
        expected |= seat.expected
    return shape(address) in {shape(each) for each in expected}


def is_early(instance: InstanceRecord) -> bool:
    """Return whether an instance is about to start, so that it binds what it serves on."""
    starts = instance.phase is Phase.STARTING
    return starts or clock.monotonic() < instance.started + GRACE_S
