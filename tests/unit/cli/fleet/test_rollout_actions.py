"""`rollout_actions.apply`: hold, resume and abort, as a command and a button ask."""

from __future__ import annotations

import pytest

from gapless.base.errors import MisuseError, NotFoundError
from gapless.cli import deeds
from gapless.cli.fleet import rollout_actions
from gapless.coordinator.memory import MemoryCoordinator
from gapless.rollout.model import Action, Rollout, State
from gapless.rollout.store import FleetStore

RELEASE = "app-20261102030405"


class _Overtaken(FleetStore):
    """A store whose rollout another agent ends right after it was looked at."""

    other: FleetStore

    def rollout(self) -> tuple[Rollout | None, int]:
        """Return the rollout; a moment later it has ended."""
        found = super().rollout()
        self.other.apply(Action.FINISH, "all hosts have it", seen=found[0])
        return found


def _store(state: State | None, kind: type[FleetStore] = FleetStore) -> FleetStore:
    coordinator = MemoryCoordinator()
    made, other = (
        each(coordinator, "app", now=lambda: 0.0, complain=pytest.fail)
        for each in (kind, FleetStore)
    )
    if state is not None:
        rollout = Rollout(app="app", number=3, release=RELEASE, state=state)
        other.write_rollout(rollout, expected=0)
    if isinstance(made, _Overtaken):
        made.other = other
    return made


def test_a_rollout_is_held_for_a_reason_and_goes_on() -> None:
    """Without a reason it is what was asked for."""
    store = _store(State.ROLLING)
    held = rollout_actions.apply(store, "hold", reason="a look at the logs", meant=3)
    assert (held.state, held.reason) == (State.HELD, "a look at the logs")
    gone_on = rollout_actions.apply(store, "resume")
    assert (gone_on.state, gone_on.reason) == (State.ROLLING, "resume by hand")


@pytest.mark.parametrize(
    ("state", "word", "meant", "told", "hint"),
    [
        (State.DONE, "hold", 3, "rollout 3 is done: `hold` has no", "rollback app"),
        (State.ROLLING, "resume", 0, "3 is rolling: `resume` has no", "status app"),
        (State.ROLLING, "abort", 0, "is no release to go back to: `abort`", "status"),
        (State.ROLLING, "hold", 2, "rollout 3 followed it", "nothing was done"),
        (None, "hold", 2, "it is gone", "nothing was done"),
        (None, "hold", 0, "nothing was rolled out yet", ""),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_reason(
    state: State | None, word: str, meant: int, told: str, hint: str
) -> None:
    """The hint says what to do instead."""
    with pytest.raises((MisuseError, NotFoundError), match=told) as found:
        rollout_actions.apply(_store(state), word, meant=meant)
    assert hint in found.value.hint


def test_a_rollout_that_another_agent_moves_meanwhile_is_left_alone() -> None:
    """The refusal says that it has changed, not that its state was wrong."""
    store = _store(State.ROLLING, _Overtaken)
    with pytest.raises(MisuseError, match="was rolling, and changed right before"):
        rollout_actions.apply(store, "hold", meant=3)


def test_buttons_and_commands_have_the_same_words() -> None:
    """The words of buttons are written twice: they are known without the coordinator."""
    assert tuple(rollout_actions.ACTIONS) == deeds.OF_ROLLOUTS
