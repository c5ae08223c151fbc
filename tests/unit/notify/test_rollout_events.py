"""Rollouts and refused uploads are told once, and what was there before is no news."""

from __future__ import annotations

import dataclasses

from gapless.notify import rollout_events
from gapless.notify.memory import Memory
from gapless.notify.model import Kind
from gapless.push.outcome import Outcome, Stage
from gapless.rollout.model import Rollout, State

FOLDER = "/srv/shop/outcomes"


def rollout(state: State, number: int = 1) -> Rollout:
    """Return a rollout."""
    return Rollout(app="shop", number=number, release="shop-2", state=state, reason="x")


def told_rollouts(memory: Memory, *rollouts: Rollout | None) -> list[list[Kind]]:
    """Return what one look after the other tells."""
    found = [
        rollout_events.of_rollouts({"shop": each}, memory, "now") for each in rollouts
    ]
    return [[event.kind for event in events] for events in found]


def test_rollouts_are_told_when_they_come_to_a_state() -> None:
    """What was there before is no news."""
    states = (State.DONE, State.ROLLING, State.HELD, State.HELD, State.REVERTED)
    found = told_rollouts(Memory(), *map(rollout, states))
    assert found == [[], [], [Kind.HELD], [], [Kind.REVERTED]]


def test_the_first_rollout_of_a_fleet_is_news() -> None:
    """Of one whose coordinator was looked at before, and had none."""
    memory = Memory()
    assert told_rollouts(memory, None, rollout(State.STUCK)) == [[], [Kind.HELD]]


def test_a_fleet_that_is_seen_later_than_others_is_no_news() -> None:
    """Its coordinator did not answer before."""
    memory = Memory()
    assert told_rollouts(memory, rollout(State.HELD)) == [[]]
    late = {"mail": rollout(State.HELD)}
    assert rollout_events.of_rollouts(late, memory, "now") == []


def refused(upload: str = "1.tar.gz", app: str = "shop", at: str = "1") -> Outcome:
    """Return the outcome of an upload that was refused."""
    return Outcome(
        upload=upload, app=app, stage=Stage.REFUSED, detail="npm ci failed", at=at
    )


def told_uploads(memory: Memory, *outcomes: Outcome, folder: str = FOLDER) -> list[str]:
    """Return what one look tells."""
    found = rollout_events.of_uploads({folder: outcomes}, memory)
    assert all(each.kind is Kind.FAILED for each in found)
    return [each.text for each in found]


def test_an_upload_that_was_refused_is_told_once() -> None:
    """By its reason."""
    memory = Memory()
    each = Outcome(upload="1.tar.gz", app="shop", stage=Stage.PUBLISHING)
    assert told_uploads(memory) == []
    assert told_uploads(memory, each) == []
    text = "shop: the upload 1.tar.gz refused: npm ci failed"
    assert told_uploads(memory, refused()) == [text]
    assert told_uploads(memory, refused()) == []


def test_an_upload_of_the_same_name_that_is_refused_again_is_told_again() -> None:
    """Who copies `shop.tar.gz` into the inbox uses one name; each event is its own."""
    memory = Memory()
    assert told_uploads(memory) == []
    found = [
        rollout_events.of_uploads({FOLDER: [refused(at=at)]}, memory)
        for at in ("1", "1", "2")
    ]
    assert [len(events) for events in found] == [1, 0, 1]
    assert found[0][0].identity != found[2][0].identity


def test_what_an_earlier_version_has_told_is_not_told_again() -> None:
    """It noted no time."""
    memory = Memory(outcomes={FOLDER: {"shop/1.tar.gz": "refused"}})
    memory.looked_at(f"uploads of {FOLDER}")
    assert told_uploads(memory, refused()) == []
    assert len(told_uploads(memory, refused(at="2"))) == 1


def test_a_rollout_of_an_emptied_coordinator_is_an_event_of_its_own() -> None:
    """Its number was used before."""
    memory, identities = Memory(), set[str]()
    for began_at in ("1", "2"):
        for state in (State.ROLLING, State.HELD):
            each = dataclasses.replace(rollout(state), began_at=began_at)
            found = rollout_events.of_rollouts({"shop": each}, memory, "now")
            identities |= {event.identity for event in found}
    assert len(identities) == 2


def test_many_uploads_are_told_once_each() -> None:
    """However many there are; what is there no more is not remembered."""
    memory = Memory()
    many = [refused(f"{number}.tar.gz") for number in range(2000)]
    assert told_uploads(memory) == []
    assert len(told_uploads(memory, *many)) == len(many)
    assert told_uploads(memory, *many) == []
    assert told_uploads(memory, many[0]) == []
    assert len(memory.outcomes[FOLDER]) == 1


def test_uploads_of_two_apps_may_have_one_name() -> None:
    """They are two events."""
    memory = Memory()
    assert told_uploads(memory) == []
    two = refused(), refused(app="mail")
    found = rollout_events.of_uploads({FOLDER: two}, memory)
    assert len({each.identity for each in found}) == 2
    assert told_uploads(memory, *two) == []


def test_a_folder_that_is_seen_later_than_others_is_no_news() -> None:
    """It could not be read before."""
    memory = Memory()
    assert told_uploads(memory, refused()) == []
    assert told_uploads(memory, refused("9.tar.gz"), folder="/other") == []
    assert told_uploads(memory, refused(), refused("2.tar.gz")) == [
        "shop: the upload 2.tar.gz refused: npm ci failed"
    ]
