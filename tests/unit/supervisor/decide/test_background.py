"""Which end of a leader means that its program went into the background, and who leads."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gapless.supervisor.decide import background
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.model import Phase, Role
from gapless.supervisor.memory.spec import Restart

AT = 100.0


@dataclass(frozen=True)
class Row:
    """A process, as far as it is read."""

    parent: int
    start_ticks: int = 0


def instance(**fields: object) -> InstanceRecord:
    """Return an instance that starts, but for *fields*."""
    made = InstanceRecord(key="app/1/0/1", ordinal=0, started=AT - 1)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("fields", "code", "expected"),
    [
        ({}, 0, True),
        ({}, 1, False),
        ({}, -15, False),
        ({}, None, False),
        ({"background": True}, None, True),
        ({"background": True}, 1, False),
        ({"stop_sent_at": AT - 0.1}, 0, False),
        ({"phase": Phase.DRAINING}, 0, False),
        ({"phase": Phase.READY, "ready_at": AT - 0.1}, 0, True),
        ({"phase": Phase.READY, "ready_at": AT - 60}, 0, False),
        (
            {"phase": Phase.READY, "ready_at": AT - 60, "answered_at": AT - 0.1},
            0,
            True,
        ),
    ],
)
def test_only_an_early_end_with_0_may_be_one(
    fields: dict[str, object], code: int | None, expected: bool
) -> None:
    """How a process ended that was left behind itself may be unknown."""
    made = instance(**fields)
    assert background.may_be_in_background(made, Role.SERVING, code, AT) is expected


@pytest.mark.parametrize("role", [Role.RETIRING, Role.YIELDING])
def test_what_ends_anyway_is_not_followed(role: Role) -> None:
    """Its generation leaves: what is left of it gets the stop signal."""
    assert not background.may_be_in_background(instance(), role, 0, AT)


def test_a_start_that_may_end_well_is_not_waited_for_to_its_end() -> None:
    """A job that ends with 0 is done; what it left behind has a moment to listen."""
    waits = background.waits_until
    soon = AT + background.FORK_S
    assert waits(instance(), Restart(), AT) is None
    assert waits(instance(), Restart(automatic=False), AT) == soon
    assert waits(instance(), Restart(stop_exit_codes=(0,)), AT) == soon
    assert waits(instance(phase=Phase.READY), Restart(), AT) == soon


@pytest.mark.parametrize(
    ("rows", "holders", "expected"),
    [
        ({10: Row(1), 11: Row(10), 12: Row(10)}, {10, 11, 12}, 10),
        ({10: Row(1), 11: Row(10), 12: Row(11)}, {12}, 12),
        ({10: Row(1), 11: Row(10), 12: Row(11)}, {10, 12}, 10),
        ({10: Row(1, 7), 9: Row(1, 8)}, {9, 10}, 10),
        ({10: Row(1), 11: Row(10)}, set(), None),
        ({10: Row(11), 11: Row(10)}, {10, 11}, None),
    ],
)
def test_the_first_process_that_holds_the_sockets_leads(
    rows: dict[int, Row], holders: set[int], expected: int | None
) -> None:
    """Not its workers, which hold them too; nor its parent, which does not."""
    assert background.find_leader(rows, holders) == expected
