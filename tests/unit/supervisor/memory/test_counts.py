"""Sums of the counts of processes: the work they name, and what stays when one ends."""

from __future__ import annotations

import pytest

from gapless.base import codec
from gapless.supervisor.memory import counts
from gapless.supervisor.memory.counts import MOST_NAMES, Counts


def request(for_s: float) -> dict[str, object]:
    """Return a running request."""
    return {"kind": "request", "name": f"GET /{for_s:g}", "for_s": for_s}


def procedure(for_s: float) -> dict[str, object]:
    """Return a running or finished procedure."""
    return {"kind": "procedure", "name": f"work {for_s:g}", "for_s": for_s}


def names(named: tuple[dict[str, object], ...]) -> list[object]:
    """Return the names of some work."""
    return [each["name"] for each in named]


def test_a_flood_of_old_requests_hides_no_procedure() -> None:
    """A procedure is named before requests, in a sum and in what was cut."""
    flood = Counts(requests=40, running=tuple(request(100 + n) for n in range(40)))
    both = flood.plus(Counts(procedures=1, running=(procedure(1),)))
    assert names(both.running)[0] == "work 1"
    assert len(both.running) == MOST_NAMES
    assert names(both.ended().cut)[0] == "work 1"


def test_what_finished_is_named_the_longest_first() -> None:
    """The finished procedures of all processes are sorted together."""
    one = Counts(finished_procedures=2, finished=(procedure(5), procedure(1)))
    other = Counts(finished_procedures=1, finished=(procedure(3),))
    both = one.plus(other)
    assert both.finished_procedures == 3
    assert names(both.finished) == ["work 5", "work 3", "work 1"]


def test_what_is_cut_is_as_old_as_it_was_then() -> None:
    """Its age counts to the moment of the cut, not to its last report."""
    (cut,) = Counts(procedures=1, running=(procedure(2),)).aged(30.0).ended().cut
    assert cut["for_s"] == 32.0


@pytest.mark.parametrize(
    ("finished", "expected"),
    [
        ({}, []),
        ({"procedures": 1}, []),
        ({"procedures": 1, "named": [procedure(2)]}, ["work 2"]),
        ({"named": [procedure(n) for n in range(50)]}, None),
    ],
)
def test_an_older_library_does_not_name_what_finished(
    finished: dict[str, object], expected: list[str] | None
) -> None:
    """A count without names is accepted; of too many names the first are kept."""
    found = counts.parse({"mode": "handoff", "finished": finished}).finished
    assert (len(found) == MOST_NAMES) if expected is None else names(found) == expected


@pytest.mark.parametrize("named", [7, {}, [7], [{"kind": "dance"}], [{"for_s": 1}]])
def test_a_malformed_message_is_refused(named: object) -> None:
    """One wrong entry refuses the whole message."""
    with pytest.raises(ValueError, match=r"is|not"):
        counts.parse({"mode": "handoff", "finished": {"named": named}})


def test_notes_of_an_older_supervisor_are_read() -> None:
    """A note without the field `finished` is read."""
    plain = codec.encode(Counts(requests=2, running=(request(1),)))
    del plain["finished"]
    assert codec.decode(Counts, plain) == Counts(requests=2, running=(request(1),))
