"""What a guardian holds, and how it takes that along when it becomes another program.

execve(2) keeps descriptors: their numbers, and everything else, travel in a memfd
(memfd_create(2)).  So a keeper that dies meanwhile is followed as always.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

UNKNOWN = -1
"""The status of a process of which the guardian does not know how it ended."""


@dataclass(slots=True)
class Entry:
    """What the keeper put here by one name."""

    value: bytes
    descriptors: list[int]
    pid: int
    """The process that it tells of; 0 for none."""
    status: int = UNKNOWN
    """How that process ended (wait(2)), if it became a child of the guardian."""

    def close(self) -> None:
        """Close its descriptors."""
        while self.descriptors:
            os.close(self.descriptors.pop())


def write(entries: Mapping[str, Entry]) -> int:
    """Return a descriptor of the table; all that are in it outlive execve.

    Raises OSError.
    """
    rows = [
        [name, each.value.decode("latin-1"), each.descriptors, each.pid, each.status]
        for name, each in entries.items()
    ]
    memory = os.memfd_create("gapless-table")
    with memoryview(json.dumps(rows).encode()) as view:
        written = 0
        while written < len(view):
            written += os.write(memory, view[written:])
    _pass_on(entries, memory, inheritable=True)
    return memory


def take_back(entries: Mapping[str, Entry], memory: int) -> None:
    """Undo `write`: there was no execve."""
    _pass_on(entries, memory, inheritable=False)
    os.close(memory)


def read(memory: int) -> dict[str, Entry]:
    """Return what was written before execve; closes the descriptor.  Raises OSError."""
    size = os.fstat(memory).st_size
    rows = json.loads(os.pread(memory, size, 0))
    found = {
        name: Entry(value.encode("latin-1"), descriptors, pid, status)
        for name, value, descriptors, pid, status in rows
    }
    _pass_on(found, memory, inheritable=False)
    os.close(memory)
    return found


def _pass_on(entries: Mapping[str, Entry], memory: int, *, inheritable: bool) -> None:
    for each in entries.values():
        for descriptor in each.descriptors:
            os.set_inheritable(descriptor, inheritable)
    with contextlib.suppress(OSError):
        os.set_inheritable(memory, inheritable)
