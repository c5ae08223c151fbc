"""The report of a host, while another agent may use the same host name."""

from __future__ import annotations

import pytest

from gapless.agent.reporter import Reporter
from gapless.base.errors import ConflictError
from gapless.coordinator.memory import MemoryCoordinator
from gapless.rollout.model import Phase, Rollout
from gapless.rollout.store import FleetStore

ROLLOUT = Rollout(app="app", number=1, release="app-20260101000002")


def _ignore(_: str) -> None:
    """Print nothing."""


def test_a_host_says_after_what_silence_it_is_gone() -> None:
    """A new time does not make a write of its own: the heartbeat has it."""
    store = FleetStore(
        MemoryCoordinator(), "app", now=lambda: 0.0, complain=pytest.fail
    )
    reporter = Reporter(store, "a", _ignore, in_use=lambda: ())
    reporter.load()
    for gone_s, most in ((90.0, 90.0), (1e8, 86_400.0)):
        reporter.set_gone_s(gone_s)
        reporter.heartbeat(0.0)
        assert store.hosts.own("a")[0].gone_s == most
    reporter.set_gone_s(5.0)
    assert reporter.flush()
    assert store.hosts.own("a")[0].gone_s == 86_400.0


def test_of_two_agents_that_call_themselves_alike_none_falls_over() -> None:
    """In a turn every write is refused, until the report is loaded again."""
    coordinator = MemoryCoordinator()
    one, other = (
        Reporter(
            FleetStore(coordinator, "app", now=lambda: 0.0, complain=pytest.fail),
            "a",
            _ignore,
            in_use=lambda: (),
        )
        for _ in "ab"
    )
    one.load()
    one.report_phase(ROLLOUT, Phase.CHANGING)
    other.load()
    other.report_phase(ROLLOUT, Phase.CHANGING)
    for _ in range(2):
        with pytest.raises(ConflictError, match="another agent uses the host name a"):
            one.heartbeat(0.0)
    with pytest.raises(ConflictError, match="another agent uses the host name a"):
        one.try_report_phase(ROLLOUT, Phase.WATCHING)
    with pytest.raises(ConflictError, match="another agent uses the host name a"):
        one.flush()
    one.load()
    assert one.flush()


def test_a_report_remembers_in_whose_turn_its_release_ran_here() -> None:
    """Though it runs no more: who goes back from it is not like who never had it."""
    store = FleetStore(
        MemoryCoordinator(), "app", now=lambda: 0.0, complain=pytest.fail
    )
    reporter = Reporter(store, "a", _ignore, in_use=lambda: ())
    reporter.load()
    reporter.report_phase(ROLLOUT, Phase.CHANGING)
    assert store.hosts.all()["a"].ran == 0
    reporter.set_release(ROLLOUT.release)
    reporter.report_phase(ROLLOUT, Phase.WATCHING)
    reporter.set_release("")
    reporter.report_phase(ROLLOUT, Phase.FAILED)
    assert store.hosts.all()["a"].ran == ROLLOUT.number
