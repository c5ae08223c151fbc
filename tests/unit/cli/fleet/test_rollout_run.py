"""`rollout_run.follow`: a command follows a rollout to its end."""

from __future__ import annotations

import pytest

from gapless.base.errors import TimedOutError, UnavailableError
from gapless.cli.fleet import rollout_run
from gapless.coordinator.memory import MemoryCoordinator
from gapless.coordinator.model import Entry
from gapless.rollout import records
from gapless.rollout.model import Rollout, State
from gapless.rollout.store import FleetStore


class _Flickering(MemoryCoordinator):
    """A coordinator that does not answer the first two reads."""

    away = 2

    def read(self, key: str) -> Entry | None:
        """Return the entry, once it answers."""
        if self.away:
            self.away -= 1
            raise UnavailableError("etcd does not answer")
        return super().read(key)


def test_a_coordinator_that_is_away_for_a_moment_ends_no_command(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The error is printed once, and the command waits; a pipeline does not fail."""
    coordinator = _Flickering()
    rollout = Rollout(
        app="app", number=1, release="app-20261102030405", state=State.DONE
    )
    coordinator.write("rollout/app", records.encode_rollout(rollout), expected=0)
    store = FleetStore(coordinator, "app", now=lambda: 0.0, complain=pytest.fail)
    assert rollout_run.follow(store, 1, 60.0, lambda _: None) == rollout
    assert capfd.readouterr().err.count("etcd does not answer") == 1
    coordinator.away = 1000
    with pytest.raises(TimedOutError) as at:
        rollout_run.follow(store, 1, 0.0, lambda _: None)
    assert "`gapless rollout status app`" in at.value.hint
