"""Go through the disks that may be left, each of them once."""

from __future__ import annotations

import random
from collections.abc import Callable

from rig.power.disk import Disk, Loss
from rig.power.recording import Moment, Recording

Check = Callable[[Moment], list[str]]
"""Returns what is wrong with what lies on the disk now."""


def faults(
    recording: Recording,
    check: Check,
    go_on: Check,
    *,
    most: int | None,
    seeds: int = 1,
) -> list[str]:
    """Return what is wrong after a loss of power at each moment of a recording.

    Each disk that may be left is looked at by *check*; with *most* of them, drawn by lot
    but always the same, *go_on* is tried as well.  *seeds*: how often what is lost by lot
    is drawn for each moment.
    """
    disks: dict[object, tuple[Moment, str, Disk]] = {}
    for moment in recording.moments():
        for loss in Loss:
            for seed in range(seeds if loss is Loss.SOME else 1):
                left = moment.disk.after(loss, (moment.number, seed))
                key = left.fingerprint(), moment.begun, moment.done
                disks.setdefault(key, (moment, loss.value, left))
    places = range(len(disks))
    chosen = set(places if most is None else random.Random(7).sample(places, most))
    found = []
    for place, (moment, lost, left) in enumerate(disks.values()):
        left.write()
        try:
            wrong = check(moment)
            wrong += go_on(moment) if place in chosen else []
        except Exception as error:  # noqa: BLE001 - whatever a reader raises is a fault
            wrong = [repr(error)]
        found += [f"{lost} lost after {moment.what}: {each}" for each in wrong]
    return found
