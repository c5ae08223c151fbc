"""Which hosts may leave service: never all, in whatever order they ask."""

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
from gapless.rollout import drain_rules
from gapless.rollout.drain_rights import DrainRights
from gapless.rollout.model import HostReport, Phase, Rollout
from gapless.rollout.status import status_of
from gapless.rollout.store import FleetStore

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
    """The refusal says what each of the other hosts does."""
    assert drain_rules.drain_refusal("a", [A, *others], draining) == said


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
    """Another host serves, or this one does not."""
    assert drain_rules.drain_refusal("a", [own, *others], ()) == ""


def test_a_recycle_waits_for_those_that_come_back() -> None:
    """Hosts that are gone or were stopped may never come back."""
    own = replace(A, recycles=True)
    assert drain_rules.recycle_refusal(own, [own, B], ("b",)) == "b drains"
    draining = replace(B, drains=True)
    assert drain_rules.recycle_refusal(own, [own, draining], ()) == "b drains"
    changing = replace(B, phase=Phase.CHANGING, recycles=True)
    assert drain_rules.recycle_refusal(own, [own, changing], ()) == "b is recycled"
    assert drain_rules.recycle_refusal(own, [own, B, C], ("b",)) == ""
    assert drain_rules.recycle_refusal(own, [own], ()) == ""
    stopped = replace(B, phase=Phase.STOPPED)
    assert drain_rules.recycle_refusal(own, [own, stopped], ()) == ""
    by_handoff = drain_rules.recycle_refusal(A, [A, B], ("b",))
    assert by_handoff == "", "the app serves throughout a handoff"


def test_a_rollout_leaves_a_host_alone_that_drains() -> None:
    """A host that drains takes no part, unless it is changing already."""
    rollout = Rollout(app="app", number=2, release="app-2")
    status = status_of(rollout, [A, B, replace(C, drains=True)])
    assert status.order == ("a", "b")
    at_work = replace(C, drains=True, phase=Phase.CHANGING, turn=(2, 1))
    assert status_of(rollout, [A, B, at_work]).order == ("a", "b", "c")


# --- the record ---------------------------------------------------------------------------


def test_the_right_is_taken_once_and_given_back() -> None:
    """A host that has the right keeps it, whatever the others do meanwhile."""
    rights = DrainRights(MemoryCoordinator(), "app")
    assert rights.take("a", "now", lambda _: "") == ""
    assert rights.draining() == {"a": "now"}
    assert rights.take("a", "later", lambda _: "no") == ""
    assert rights.take("b", "now", lambda others: f"{sorted(others)}") == "['a']"
    assert rights.give_back("a")
    assert not rights.give_back("a")
    assert rights.draining() == {}


def test_a_host_that_is_forgotten_drains_no_more() -> None:
    """Its right to drain is removed with its report."""
    coordinator = MemoryCoordinator()
    store = FleetStore(coordinator, "app", now=lambda: 0.0, complain=print)
    store.hosts.write(A, 0)
    store.drain_rights.force("a", "now")
    store.forget("a")
    assert store.drain_rights.draining() == {}


def test_a_record_that_cannot_be_trusted_gives_nobody_the_right() -> None:
    """It cannot be taken while the record cannot be read."""
    coordinator = MemoryCoordinator()
    coordinator.write("drains/app", b"?", expected=0)
    with pytest.raises(UnavailableError, match="cannot be trusted"):
        DrainRights(coordinator, "app").take("a", "now", lambda _: "")


class _Contended(MemoryCoordinator):
    """Another host writes right before each of the first writes."""

    left = 3

    def write(self, key: str, value: bytes, *, expected: int) -> Entry:
        """Let the other host write first."""
        if self.left and key == "drains/app":
            self.left -= 1
            found = self.read(key)
            super().write(key, value, expected=found.version if found else 0)
            raise ConflictError("another writer was first")
        return super().write(key, value, expected=expected)


def test_who_is_too_late_looks_again() -> None:
    """After a conflict the host asks again: it is neither a refusal nor a right."""
    rights = DrainRights(_Contended(), "app")
    asked: list[Collection[str]] = []

    def refusal(others: Collection[str]) -> str:
        asked.append(set(others))
        return ""

    assert rights.take("a", "now", refusal) == ""
    assert rights.draining() == {"a": "now"}


@given(st.integers(2, 5), st.integers(0, 3))
def test_hosts_that_ask_at_once_leave_one(count: int, stopped: int) -> None:
    """Of hosts that ask at the same time, each in a thread, exactly one serves on."""
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
            DrainRights(coordinator, "app").take(
                host,
                "now",
                lambda others: drain_rules.drain_refusal(host, reports, others),
            )
        )

    threads = [threading.Thread(target=ask, args=(f"h{n}",)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(DrainRights(coordinator, "app").draining()) == count - 1
    assert sum(bool(each) for each in refusals) == 1


@pytest.mark.parametrize("drain_first", [True, False])
def test_a_drain_and_a_recycle_that_meet_never_both_go_on(*, drain_first: bool) -> None:
    """Each writes what it does, then reads, in any order of these four steps."""
    coordinator = MemoryCoordinator()
    store = FleetStore(coordinator, "app", now=lambda: 0.0, complain=print)
    own = replace(B, recycles=True)
    version = store.hosts.write(own, 0)
    store.hosts.write(A, 0)
    rights = store.drain_rights

    def recycle() -> str:
        changing = replace(own, phase=Phase.CHANGING)
        store.hosts.write(changing, version)
        live = list(store.hosts.all().values())
        return drain_rules.recycle_refusal(changing, live, rights.draining())

    def drain(between: bool) -> str:
        def refusal(others: Collection[str]) -> str:
            refused = drain_rules.drain_refusal(
                "a", list(store.hosts.all().values()), others
            )
            if between:
                recycled.append(recycle())
            return refused

        return rights.take("a", "now", refusal)

    recycled: list[str] = []
    refused = drain(between=not drain_first)
    if drain_first:
        recycled.append(recycle())
    assert refused or any(recycled)
