"""What limits a control group: the controllers of cgroups(7), v2, `memory` and `cpu`.

A group has the limits that its parent distributes (cgroup.subtree_control).  A group that
does so for memory may have no process of its own, the root aside.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

PERIOD_US = 100_000
"""The period of cpu.max; the kernel takes no quota below 1 % of it."""
WANTED = ("memory", "cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEvents:
    """What memory.events counts of a group."""

    own_limit: int = 0
    """How often its own limit left no memory to give out."""
    killed: int = 0
    """How many of its processes the kernel has killed for want of memory."""


def offered(path: str) -> set[str]:
    """Return the controllers that a group could distribute to those below it."""
    return set(_read(f"{path}/cgroup.controllers").split())


def distributed(path: str) -> set[str]:
    """Return the controllers that a group distributes to those below it."""
    return set(_read(f"{path}/cgroup.subtree_control").split())


def distribute(path: str, names: Collection[str]) -> None:
    """Let a group distribute controllers.

    Raises OSError; EBUSY: processes are in the group itself.
    """
    missing = sorted(set(names) - distributed(path))
    if missing:
        _write(f"{path}/cgroup.subtree_control", " ".join(f"+{n}" for n in missing))


def withdraw(path: str) -> None:
    """Let a group distribute neither controller any more, so that a process may enter it.

    Raises OSError; EBUSY: a group below it still distributes them.
    """
    present = [name for name in WANTED if name in distributed(path)]
    if present:
        _write(f"{path}/cgroup.subtree_control", " ".join(f"-{n}" for n in present))


def limits(path: str, name: str) -> bool:
    """Return whether a group can be limited: the one above distributes the controller."""
    return os.path.exists(f"{path}/{name}.max")


def limit_memory(path: str, size_bytes: int | None) -> None:
    """Limit the memory of a group; None: as it likes.  Raises OSError."""
    _write(f"{path}/memory.max", "max" if size_bytes is None else str(size_bytes))


def limit_cpu(path: str, percent: float | None) -> None:
    """Limit the processor time of a group; None: as it likes.  Raises OSError."""
    quota = "max" if percent is None else str(round(percent * PERIOD_US / 100))
    _write(f"{path}/cpu.max", f"{quota} {PERIOD_US}")


def memory_events(path: str) -> MemoryEvents:
    """Return what happened to the memory of a group; nothing if that is not known."""
    words = _read(f"{path}/memory.events").split()
    counts = dict(zip(words[::2], words[1::2], strict=False))
    return MemoryEvents(
        own_limit=int(counts.get("oom", "0")), killed=int(counts.get("oom_kill", "0"))
    )


def own_pids(path: str) -> list[int]:
    """Return the processes of a group itself, not of those below it."""
    return [int(word) for word in _read(f"{path}/cgroup.procs").split()]


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
