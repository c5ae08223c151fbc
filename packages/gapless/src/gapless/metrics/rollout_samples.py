"""What the records of a fleet say, as samples.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gapless.metrics.sample import Sample, sample
from gapless.rollout.model import HostReport, Phase, Rollout, State
from gapless.rollout.policy import share


class FleetRecords(NamedTuple):
    """What a coordinator has of one fleet."""

    rollout: Rollout | None
    hosts: Mapping[str, HostReport]
    holders: Mapping[str, str]
    """By slot: which host holds it."""


def of_fleet(app: str, found: FleetRecords | None) -> Iterator[Sample]:
    """Yield what is known of a fleet; without records its coordinator did not answer."""
    yield sample("coordinator_up", found is not None, app)
    if found is None:
        return
    phases = Counter(each.phase for each in found.hosts.values())
    for phase in Phase:
        yield sample("rollout_hosts", phases[phase], app, phase.value)
    yield sample("rollout_slots_held", len(found.holders), app)
    rollout = found.rollout
    for state in State:
        is_it = rollout is not None and rollout.state is state
        yield sample("rollout_state", is_it, app, state.value)
    if rollout is not None:
        yield sample("rollout_number", rollout.number, app)
        names = rollout.release, rollout.previous
        yield sample("rollout_release_info", 1, app, *names)
        slots = share(rollout.policy.slots, max(1, len(found.hosts)))
        yield sample("rollout_slots", slots, app)
