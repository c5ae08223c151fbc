"""Whether the first bind of an address in a generation is one of a server.

Servers bind where clients look for them: where they did before, where their
configuration says, or when they start, which may take long.  What a program binds for
itself it binds when it needs it: a debugger, a browser that it starts, ports for media.
Those are left to the kernel, as if there were no gapless.
"""

from __future__ import annotations

import re

from gapless.base import clock
from gapless.supervisor.decide.lookalikes import shape
from gapless.supervisor.memory.apps import Found
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.model import Phase
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.unix import path_hints

GRACE_S = 5.0
"""An instance is ready with its first address, and may bind the others a little later."""


MOST = 16
"""A program that binds more of a kind in one generation makes them up: media, sessions."""


def is_served(
    found: Found, listeners: Listeners, address: str, *, count: int, drawn: bool = False
) -> bool:
    """Return whether an address that a generation has not bound is one to hand over.

    What a program needs for itself comes and goes while it runs: it would be missed at
    every reload.  *count* is how many of its kind the generation has; *drawn*, whether its
    name was drawn.
    """
    if address in _before(found, listeners):
        return True
    alike = is_known(found, listeners, address)
    if count >= MOST or drawn:
        return alike and count < MOST
    return alike or is_early(found[2]) or _is_named(found[1].spec, address)


def is_known(found: Found, listeners: Listeners, address: str) -> bool:
    """Return whether an address is, or is like, one that the app had, or is to have."""
    return shape(address) in {shape(each) for each in _before(found, listeners)}


def _before(found: Found, listeners: Listeners) -> set[str]:
    app, generation, _ = found
    before = {each.address for each in listeners.of_app(app.name)} | generation.required
    for seat in generation.seats:
        before |= seat.expected
    return before


def _is_named(wanted: AppSpec, address: str) -> bool:
    """Return whether the configuration of an app names a path, or a port of UDP."""
    path = address.removeprefix("unix:")
    if path != address:
        return path_hints.names(wanted, path)
    port = re.compile(rf"(?<![\d.]){address.rpartition(':')[2]}(?![\d.])")
    values = (wanted.environment.get(name, "") for name in wanted.configured)
    return any(port.search(word) for word in (*wanted.command, *values))


def is_early(instance: InstanceRecord) -> bool:
    """Return whether an instance is about to start, so that it binds what it serves on."""
    starts = instance.phase is Phase.STARTING
    return starts or clock.monotonic() < instance.started + GRACE_S
