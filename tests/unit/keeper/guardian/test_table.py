"""What a guardian takes along when it becomes another program."""

from __future__ import annotations

import os

from gapless.keeper.guardian import table
from gapless.keeper.guardian.table import Entry


def test_it_is_read_as_it_was_written() -> None:
    """Values are bytes; descriptors outlive execve in between, and not after that."""
    ends = os.pipe()
    entries = {
        "child/\udcff": Entry(b"\x00\xff{}", [ends[0], ends[1]], 7, 9),
        "keeper": Entry(b"", [], 0),
    }
    memory = table.write(entries)
    assert all(os.get_inheritable(each) for each in (*ends, memory))
    before = len(os.listdir("/proc/self/fd"))
    assert table.read(memory) == entries
    assert len(os.listdir("/proc/self/fd")) == before - 1
    assert not any(os.get_inheritable(each) for each in ends)
    table.take_back(entries, table.write(entries))
    assert not any(os.get_inheritable(each) for each in ends)
    for each in ends:
        os.close(each)
