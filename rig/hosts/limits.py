"""Let a process that runs be out of descriptors, and let it open files again."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from rig import wait

LOOKS = 10
"""So many looks at its descriptors find the same before a process is at rest."""


def open_descriptors(pid: int) -> int:
    """Return how many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def leave_free(pid: int, count: int) -> None:
    """Let a process of ours open so many descriptors more.

    More if lower numbers are free: its spare one stays below the limit, as it is where a
    limit was reached by opening.
    """
    numbers = _at_rest(pid)
    limit = 0
    while True:
        count -= limit not in numbers
        if count < 0:
            break
        limit += 1
    spare = [n for n in numbers if n > 2 and _target(pid, n) == "/dev/null"]
    limit = max([limit, *(number + 1 for number in spare)])
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


def _at_rest(pid: int) -> set[int]:
    """Return the descriptors of a process, once it has closed what it served last."""
    looks: list[set[int]] = []

    def is_same() -> bool:
        looks.append({int(name) for name in os.listdir(f"/proc/{pid}/fd")})
        return len(looks) >= LOOKS and all(each == looks[-1] for each in looks[-LOOKS:])

    wait.until(is_same, f"process {pid} to come to rest")
    return looks[-1]


def _target(pid: int, number: int) -> str:
    return os.readlink(f"/proc/{pid}/fd/{number}")


def unlimited(pid: int) -> None:
    """Let a process open what it likes."""
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def out_of_descriptors(pid: int, free: int = 0) -> Iterator[None]:
    """Let a process open so many more, and no more, until the block ends."""
    leave_free(pid, free)
    try:
        yield
    finally:
        unlimited(pid)
