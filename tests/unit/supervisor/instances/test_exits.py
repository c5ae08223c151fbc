"""How an end is told."""

from __future__ import annotations

import pytest

from gapless.supervisor.instances.exits import describe_status, memory_end
from gapless.supervisor.kernel.controllers import MemoryEvents
from gapless.supervisor.memory.spec import Limits


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "exited with code 0"),
        (7 << 8, "exited with code 7"),
        (None, "ended unseen"),
    ],
)
def test_how_a_process_ended(status: int | None, said: str) -> None:
    """A keeper that never was its parent does not know; it says so."""
    assert describe_status(status) == said


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        (MemoryEvents(), -9, ""),
        (
            MemoryEvents(own_limit=1, killed=1),
            -9,
            " by the kernel, for want of memory: its own limit of 64 MB (limits.memory_mb)",
        ),
        (
            MemoryEvents(killed=1),
            -9,
            " by the kernel, for want of memory: a limit above it, or of the whole "
            "machine, not its own",
        ),
        (
            MemoryEvents(own_limit=3, killed=2),
            1,
            ", and the kernel had killed 2 processes of it for want of memory: its own "
            "limit of 64 MB (limits.memory_mb)",
        ),
    ],
)
def test_an_end_for_want_of_memory(found: MemoryEvents, code: int, said: str) -> None:
    """It is told whether the instance's own limit was the reason."""
    assert memory_end(found, code, Limits(memory_bytes=64 << 20)) == said
