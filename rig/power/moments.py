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
    go_on: Check = lambda _: [],
    *,
    most: int,
    is_short: bool,
    seeds: int = 1,
) -> list[str]:
    """Return what is wrong after a loss of power at each moment of a recording.

    Each disk that may be left is looked at by *check*; on *most* of them, drawn by lot but
    always the same, *go_on* is tried.  In the short form all that was not synced is lost,
    or a part of it by lot.  *seeds*: how often that lot is drawn for each moment.
    """
    losses = (Loss.ALL, Loss.SOME) if is_short else tuple(Loss)
    disks: dict[object, tuple[Moment, str, Disk]] = {}
    for moment in recording.moments():
        for loss in losses:
            for seed in range(seeds if loss is Loss.SOME else 1):
                left = moment.disk.after(loss, (moment.number, seed))
                key = left.fingerprint(), moment.begun, moment.done
                disks.setdefault(key, (moment, loss.value, left))
    places = range(len(disks))
    chosen = random.Random(7).sample(places, min(most, len(places)))
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
