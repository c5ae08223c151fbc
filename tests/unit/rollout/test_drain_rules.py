"""Who may leave service: never all, whoever asks when."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.base.errors import ConflictError, UnavailableError
from gapless.coordinator.memory import MemoryCoordinator
from gapless.coordinator.model import Entry
from gapless.rollout import decide, drain_rules
from gapless.rollout.board import Board
from gapless.rollout.drain_rights import Rights
from gapless.rollout.model import HostReport, Phase, Rollout

A, B, C = (HostReport(host=name, release="app-1") for name in "abc")


@pytest.mark.parametrize(
    ("others", "draining", "said"),
    [
        ([], (), "there is no other host"),
        ([B], ("b",), "b drains"),
        ([replace(B, drains=True)], (), "b drains"),
        ([replace(B, phase=Phase.STOPPED)], (), "b was stopped"),
        ([replace(B, release="")], (), "b runs nothing"),
        ([replace(B, phase=Phase.CHANGING, recycles=True)], (), "b is recycled"),
        ([B, C], ("b", "c"), "b drains, c drains"),
    ],
)
def test_the_last_one_is_refused(
    others: list[HostReport], draining: tuple[str, ...], said: str
) -> None:
    """And told what each of the others does."""
    assert drain_rules.refusal("a", [A, *others], draining) == said


@pytest.mark.parametrize(
    ("own", "others"),
    [
        (A, [B]),
        (A, [replace(B, phase=Phase.CHANGING)]),  # a handoff serves all the time
        (A, [replace(B, drains=True), C]),
        (replace(A, release=""), []),
        (replace(A, phase=Phase.STOPPED), []),
        (replace(A, host="z"), []),
    ],
)
def test_who_takes_nothing_away_may(own: HostReport, others: list[HostReport]) -> None:
    """Another one serves, or this one does not."""
    assert drain_rules.refusal("a", [own, *others], ()) == ""


def test_a_recycle_waits_for_those_that_come_back() -> None:
    """Not for those that are gone or were stopped: they would be waited for for ever."""
    own = replace(A, recycles=True)
    assert drain_rules.blocked(own, [own, B], ("b",)) == "b drains"
    assert drain_rules.blocked(own, [own, replace(B, drains=True)], ()) == "b drains"
    changing = replace(B, phase=Phase.CHANGING, recycles=True)
    assert drain_rules.blocked(own, [own, changing], ()) == "b is recycled"
    assert drain_rules.blocked(own, [own, B, C], ("b",)) == ""
    assert drain_rules.blocked(own, [own], ()) == ""
    assert drain_rules.blocked(own, [own, replace(B, phase=Phase.STOPPED)], ()) == ""
    assert drain_rules.blocked(A, [A, B], ("b",)) == "", "a handoff takes nothing away"


def test_a_rollout_leaves_a_host_alone_that_drains() -> None:
    """It is not waited for, and makes the others more careful: fewer slots."""
    rollout = Rollout(app="app", number=2, release="app-2")
    seen = decide.survey(rollout, [A, B, replace(C, drains=True)])
    assert seen.order == ("a", "b")
    at_work = replace(C, drains=True, phase=Phase.CHANGING, turn=(2, 1))
    assert decide.survey(rollout, [A, B, at_work]).order == ("a", "b", "c")


# --- the record ---------------------------------------------------------------------------


def test_the_right_is_taken_once_and_given_back() -> None:
    """Who has it keeps it, whatever the others do meanwhile."""
    rights = Rights(MemoryCoordinator(), "app")
    assert rights.take("a", "now", lambda _: "") == ""
    assert rights.draining() == {"a": "now"}
    assert rights.take("a", "later", lambda _: "no") == ""
    assert rights.take("b", "now", lambda others: f"{sorted(others)}") == "['a']"
    assert rights.give_back("a")
    assert not rights.give_back("a")
    assert rights.draining() == {}


def test_a_host_that_is_forgotten_drains_no_more() -> None:
    """The record does not outlive it."""
    coordinator = MemoryCoordinator()
    board = Board(coordinator, "app", now=lambda: 0.0, complain=print)
    board.report(A, 0)
    board.rights().insist("a", "now")
    board.forget("a")
    assert board.rights().draining() == {}


def test_a_record_that_cannot_be_trusted_gives_nobody_the_right() -> None:
    """Nor does it take it from anybody."""
    coordinator = MemoryCoordinator()
    coordinator.write("drains/app", b"?", expected=0)
    with pytest.raises(UnavailableError, match="cannot be trusted"):
        Rights(coordinator, "app").take("a", "now", lambda _: "")


class Stirred(MemoryCoordinator):
    """Somebody else writes before each of the first writes."""

    left = 3

    def write(self, key: str, value: bytes, *, expected: int) -> Entry:
        """Let the other one go first."""
        if self.left and key == "drains/app":
            self.left -= 1
            found = self.read(key)
            super().write(key, value, expected=found.version if found else 0)
            raise ConflictError("somebody else wrote first")
        return super().write(key, value, expected=expected)


def test_who_is_too_late_looks_again() -> None:
    """A conflict is no refusal, and no right."""
    rights = Rights(Stirred(), "app")
    asked: list[Collection[str]] = []

    def judge(others: Collection[str]) -> str:
        asked.append(set(others))
        return ""

    assert rights.take("a", "now", judge) == ""
    assert rights.draining() == {"a": "now"}


@given(st.integers(2, 5), st.integers(0, 3))
def test_hosts_that_ask_at_once_leave_one(count: int, stopped: int) -> None:
    """Threads on one coordinator, each for a host: at least one serves on."""
    coordinator = MemoryCoordinator()
    reports = [
        HostReport(host=f"h{number}", release="app-1") for number in range(count)
    ] + [
        HostReport(host=f"z{number}", release="app-1", phase=Phase.STOPPED)
        for number in range(stopped)
    ]
    begin = threading.Barrier(count)
    refusals: list[str] = []

    def ask(host: str) -> None:
        begin.wait()
        refusals.append(
            Rights(coordinator, "app").take(
                host, "now", lambda others: drain_rules.refusal(host, reports, others)
            )
        )

    threads = [threading.Thread(target=ask, args=(f"h{n}",)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Rights(coordinator, "app").draining()) == count - 1
    assert sum(bool(each) for each in refusals) == 1


@pytest.mark.parametrize("drain_first", [True, False])
def test_a_drain_and_a_recycle_that_meet_never_both_go_on(*, drain_first: bool) -> None:
    """Each says what it does, then looks; in any order of these four steps."""
    coordinator = MemoryCoordinator()
    board = Board(coordinator, "app", now=lambda: 0.0, complain=print)
    own = replace(B, recycles=True)
    version = board.report(own, 0)
    board.report(A, 0)
    rights = board.rights()

    def recycle() -> str:
        changing = replace(own, phase=Phase.CHANGING)
        board.report(changing, version)
        there = list(board.reports().values())
        return drain_rules.blocked(changing, there, rights.draining())

    def drain(between: bool) -> str:
        def judge(others: Collection[str]) -> str:
            refused = drain_rules.refusal("a", list(board.reports().values()), others)
            if between:
                recycled.append(recycle())
            return refused

        return rights.take("a", "now", judge)

    recycled: list[str] = []
    refused = drain(between=not drain_first)
    if drain_first:
        recycled.append(recycle())
    assert refused or any(recycled)
