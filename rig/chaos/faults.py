"""The faults of a chaos: each strikes, lasts for some answers, and is mended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from rig import wait
from rig.chaos.schedule import COSTS_INTERCEPTION, Fault, Step
from rig.chaos.world import World

DIES = {
    Fault.KEEPER_DIES: ("keeper",),
    Fault.GUARDIAN_DIES: ("guardian",),
    Fault.SUPERVISOR_DIES: ("supervisor",),
    Fault.BOTH_DIE: ("supervisor", "keeper"),
    Fault.LINE_DIES: ("guardian", "keeper"),
    Fault.ALL_DIE: ("supervisor", "guardian", "keeper"),
}
STOPS = {
    Fault.KEEPER_STOPS: "keeper",
    Fault.GUARDIAN_STOPS: "guardian",
    Fault.SUPERVISOR_STOPS: "supervisor",
}


@contextmanager
def strikes(world: World, step: Step) -> Iterator[None]:
    """Let the fault of a step strike; it is mended after the block."""
    fault = step.fault
    if fault in COSTS_INTERCEPTION:
        wait.until(world.is_noted, "notes on disk of what serves")
    if fault in DIES:
        world.strike(signal.SIGKILL, *(world.pids[name] for name in DIES[fault]))
    elif fault is Fault.RELAY_DIES:
        relays = world.relays()
        world.cut += len(relays)  # one client keeps a connection
        world.strike(signal.SIGKILL, *relays)
    elif fault is Fault.CLOCK_STEPS:
        world.set_clock(step.clock_s)
    elif fault is Fault.DISK_FULL:
        world.disk.fill()
    elif fault in STOPS or fault is Fault.RELAY_STOPS:
        stopped = [world.pids[STOPS[fault]]] if fault in STOPS else world.relays()
        world.strike(signal.SIGSTOP, *stopped)
        try:
            yield
        finally:
            world.strike(signal.SIGCONT, *stopped)
        return
    try:
        yield
    finally:
        world.disk.free()
