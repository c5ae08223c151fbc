"""What of the log people are told: each kind of event, and what is no news."""

from __future__ import annotations

from typing import Any

import pytest

from gapless.notify import sifting
from gapless.notify.memory import Memory
from gapless.notify.model import Command, Event, Kind, Target

TARGET = Target(
    name="ops", way=Command(words=("true",)), kinds=frozenset(Kind), within_s=60.0
)
REPORT: dict[str, Any] = {
    "event": "report",
    "time": "2026-11-29T12:00:00.000+00:00",
    "app": "shop",
    "token": "t",
    "action": "reload",
    "outcome": "done",
    "reason": None,
    "generation": {"old": 3, "new": 4},
    "release": {"old": "shop-1", "new": "shop-2"},
    "started_at": "2026-11-29T11:59:58.000+00:00",
    "steps": [{"step": "ready", "at_s": 0.5}, {"step": "closed", "at_s": 1.25}],
    "connections": {"seen": 2, "finished": 2, "cut": 0},
    "cut": [],
}


def told(
    line: dict[str, Any], memory: Memory | None = None, now: float = 0.0
) -> list[Event]:
    """Return what a line tells."""
    return sifting.events_of(line, memory or Memory(), TARGET, now)


def test_a_release_that_serves() -> None:
    """With its name, its generation and its time."""
    (event,) = told(REPORT)
    assert event.kind is Kind.DONE
    assert event.text == "shop: reload of shop-2 done in 1.2 s, generation 4"
    assert event.severity == "info"


def test_a_release_that_failed_says_what_serves() -> None:
    """Before its switch it failed; after it, it was reverted."""
    failed = REPORT | {"outcome": "failed", "reason": "exited with code 1"}
    (event,) = told(failed)
    assert event.kind is Kind.FAILED
    assert event.text.endswith("failed: exited with code 1; generation 3 serves on")
    (event,) = told(failed | {"steps": [{"step": "reverted", "at_s": 2}]})
    assert event.kind is Kind.REVERTED


def test_what_was_cut_is_told_beside_the_outcome() -> None:
    """A release may have gone well for everybody else."""
    cut = [
        {"pid": 7, "connections": 2, "reason": "drain_timeout_s is over"},
        {"pid": 8, "procedures": 1, "requests": 0, "reason": "drain_timeout_s is over"},
    ]
    done, event = told(REPORT | {"cut": cut})
    assert (done.kind, event.kind) == (Kind.DONE, Kind.CUT)
    assert event.text == (
        "shop: cut 2 connections, 1 procedure: drain_timeout_s is over"
    )


def test_what_is_cut_without_an_operation_is_told() -> None:
    """No report has it; what a report has is not told twice."""
    line = {"event": "cut", "key": "shop/3/0/9", "outgoing": 1, "reason": "killed"}
    (event,) = told(line | {"reported": False})
    assert (event.app, event.text) == ("shop", "shop: cut 1 call to a database: killed")
    assert told(line | {"reported": True}) == []
    assert told(line) == []


@pytest.mark.parametrize("change", [{"pid": 8}, {"outgoing": 2}, {"requests": 1}])
def test_two_cuts_of_a_millisecond_are_two(change: dict[str, Any]) -> None:
    """Each has its own identity: the second one is told, too."""
    line = {"event": "cut", "key": "shop/3/0/9", "time": "1", "reported": False}
    line |= {"pid": 7, "outgoing": 1}
    (first,), (again,), (other,) = told(line), told(line), told(line | change)
    assert first.identity == again.identity
    assert first.identity != other.identity


@pytest.mark.parametrize(
    "change",
    [
        {"steps": [{"step": "renewing", "at_s": 0.0}]},
        {"outcome": "superseded"},
        {"action": "stop", "outcome": "failed"},
        {"event": "action"},
        {"event": None},
    ],
)
def test_what_is_no_news(change: dict[str, Any]) -> None:
    """A nightly renewal, what a later release replaced, the end of an app."""
    assert told(REPORT | change) == []


def test_a_report_that_is_written_twice_has_one_identity() -> None:
    """A supervisor may die between two lines; the next one ends the operation again."""
    (one,), (other,) = told(REPORT), told(REPORT | {"time": "2026-11-29T12:00:07Z"})
    assert one.identity == other.identity
    (next_one,) = told(REPORT | {"token": "u"})
    assert next_one.identity != one.identity


def restarted(number: int) -> dict[str, Any]:
    """Return the line of a restart."""
    line = {
        "event": "restarted",
        "app": "shop",
        "restarts": number,
        "time": str(number),
    }
    return line | {"reason": "exited with code 1 after 0.10 s"}


def test_restarts_are_told_when_they_are_many_and_then_not_for_a_while() -> None:
    """More than three in a minute are."""
    memory = Memory()
    found = [told(restarted(n), memory, now=float(n)) for n in range(1, 8)]
    assert [len(each) for each in found] == [0, 0, 0, 1, 0, 0, 0]
    assert "the last one exited with code 1" in found[3][0].text
    assert len(told(restarted(99), memory, now=64.5)) == 1
    assert all(len(times) <= 4 for times in memory.restarts.values())


def test_few_restarts_are_not_told() -> None:
    """One an hour, for a year."""
    memory = Memory()
    assert [told(restarted(n), memory, now=3600.0 * n) for n in range(50)] == [[]] * 50


def test_who_gave_up_is_told_once() -> None:
    """Until it is started again."""
    memory = Memory()
    line = {"event": "gave-up", "app": "shop", "reason": "exited", "time": "1"}
    assert [len(told(line, memory)) for _ in range(2)] == [1, 0]
    told(REPORT, memory)
    assert len(told(line, memory)) == 1


def test_who_served_again_and_gives_up_again_is_told_again() -> None:
    """After a boot no operation starts it, so no report says so: its generation does."""
    memory = Memory()
    line = {"event": "gave-up", "app": "shop", "reason": "exited", "time": "1"}
    found = [told(line | {"generation": number}, memory) for number in (4, 4, 5, 5)]
    assert [len(events) for events in found] == [1, 0, 1, 0]


def test_a_log_that_takes_nothing_is_told_once_until_it_does() -> None:
    """The keeper says it again while it lasts."""
    memory = Memory()
    said = {"app": "shop", "reason": "No space left on device", "lines_lost": 5}
    line = {"event": "log-trouble", "message": said, "time": "1"}
    assert [len(told(line, memory)) for _ in range(2)] == [1, 0]
    over = {"event": "log-trouble", "message": said | {"reason": ""}}
    assert told(over, memory) == []
    assert len(told(line, memory)) == 1


def test_a_disk_is_told_when_it_gets_low_and_again_after_there_was_room() -> None:
    """Not at each look."""
    memory = Memory()
    free = [300, 150, 100, 250, 150, 500, 150]
    found = [
        len(sifting.of_disk("/var", mb << 20, memory, TARGET, str(mb))) for mb in free
    ]
    assert found == [0, 1, 0, 0, 0, 0, 1]


HOSTILE: list[Any] = [None, 7, "x", [], {}, [[]], {"old": []}, float("nan"), True]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", [*REPORT, "message", "key", "restarts", "reported"])
def test_a_line_of_the_wrong_types_ends_nothing(name: str, value: Any) -> None:
    """The log may be of another version."""
    for event in ("report", "cut", "restarted", "gave-up", "log-trouble"):
        line = REPORT | {"event": event, "reported": False} | {name: value}
        for each in told(line):
            assert isinstance(each.text, str)
