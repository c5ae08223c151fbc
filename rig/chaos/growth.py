"""What gapless uses of a host, and what of it has grown."""

from __future__ import annotations

import collections
from dataclasses import dataclass

from rig import wait
from rig.chaos.world import OURS, World
from rig.crash import seen
from rig.hosts import usage

GROWS_MB = 8.0
"""By how much the memory of one of our processes may differ from look to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """One look at what is used."""

    descriptors: dict[str, dict[str, int]]
    """Of each of our processes, how many of each kind; sockets are one."""
    processes: dict[str, int]
    """How many processes have each title, by its first two words."""
    files: dict[str, int]
    """How many files below GAPLESS_HOME have each name; each number is one `#`.

    Logs and reports are not among them: they grow to bounds that have tests of their own.
    """
    memory_mb: dict[str, float]
    """The resident memory of each of our processes."""


def look(world: World) -> Footprint:
    """Look at a host that is at rest."""
    world.look()
    titles = (" ".join(text.split()[:2]) for text in world.host.processes().values())
    home = world.host.home
    files = (
        seen.shown(path, home)
        for path in home.rglob("*")
        if path.parent.name != "logs" and "reports" not in path.parts
    )
    return Footprint(
        descriptors={name: _descriptors(world.pids[name]) for name in OURS},
        processes=dict(collections.Counter(titles)),
        files=dict(collections.Counter(files)),
        memory_mb={name: usage.resident_mb(world.pids[name]) for name in OURS},
    )


def _descriptors(pid: int) -> dict[str, int]:
    """Return how many descriptors a process has, but for that of its clock."""
    found = seen.descriptors(pid).items()
    return {kind: count for kind, count in found if "faketime" not in kind}


def check(before: Footprint, world: World) -> None:
    """Raise AssertionError that names what has grown, and stays."""
    found: list[str] = []

    def is_level() -> bool:
        found[:] = grown(before, look(world))
        return not found

    try:
        wait.until(is_level, "")
    except AssertionError:
        raise AssertionError(f"grown: {found}") from None


def grown(before: Footprint, after: Footprint) -> list[str]:
    """Return what there is more of."""
    found = [
        f"{name}: {line}"
        for name, kinds in after.descriptors.items()
        for line in _more(before.descriptors[name], kinds)
    ]
    found += _more(before.processes, after.processes)
    found += _more(before.files, after.files)
    found += [
        f"{name}: {used:.1f} MB, not {before.memory_mb[name]:.1f}"
        for name, used in after.memory_mb.items()
        if used > before.memory_mb[name] + GROWS_MB
    ]
    return found


def _more(before: dict[str, int], after: dict[str, int]) -> list[str]:
    return [
        f"{count} {name}, not {before.get(name, 0)}"
        for name, count in after.items()
        if count > before.get(name, 0)
    ]
