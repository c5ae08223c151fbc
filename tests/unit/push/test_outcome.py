"""What is told of an upload: the record, what a fleet means for it, who hears it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from gapless.base.errors import TimedOutError
from gapless.push import outcome
from gapless.push.follower import Follower
from gapless.push.outcome import Outcome, Stage
from gapless.push.rollout_outcome import judged
from gapless.rollout import records
from gapless.rollout.model import HostReport, Phase, Rollout, State

ROLLING = Outcome(
    upload="shop-1.tar.gz", app="shop", stage=Stage.ROLLING, release="shop-1", rollout=3
)
ROLLOUT = Rollout(app="shop", number=3, release="shop-1", previous="shop-0")
HOSTS = {
    "a": HostReport(host="a", release="shop-1", turn=(3, 1), phase=Phase.DONE),
    "b": HostReport(host="b", release="shop-0", turn=(3, 1), phase=Phase.WAITING),
}


def test_a_record_is_one_line_and_comes_back_as_it_was() -> None:
    """The other side reads lines."""
    told = dataclasses.replace(ROLLING, detail="the build failed:\n    line 'two'")
    content = outcome.encode(told)
    assert content.count(b"\n") == 1
    assert outcome.decode(content) == told


def test_what_a_newer_release_server_adds_is_left_out() -> None:
    """A pusher that did not know a field would wait for an end that was told."""
    value = records.decode("upload", outcome.encode(ROLLING))
    newer = records.encode("upload", value | {"weather": "fine"})
    assert outcome.decode(newer) == ROLLING


@pytest.mark.parametrize("change", [b'"rolling"', b'"shop-1"'])
def test_a_record_that_was_changed_is_refused(change: bytes) -> None:
    """Its checksum is in it."""
    content = outcome.encode(ROLLING).replace(change, b'"done"')
    with pytest.raises(ValueError, match="checksum"):
        outcome.decode(content)


def test_hosts_are_counted_while_it_rolls() -> None:
    """One of two is there."""
    found = judged(ROLLING, ROLLOUT, HOSTS, [])
    assert (found.stage, found.hosts_done, found.hosts) == (Stage.ROLLING, 1, 2)
    assert "1 of 2 hosts there" in outcome.line(found)


@pytest.mark.parametrize(
    ("state", "settled", "stage"),
    [
        (State.ROLLING, False, Stage.ROLLING),
        (State.DONE, False, Stage.ROLLING),
        (State.DONE, True, Stage.DONE),
        (State.HELD, False, Stage.HELD),
        (State.REVERTING, False, Stage.REVERTING),
        (State.REVERTED, False, Stage.REVERTING),
        (State.REVERTED, True, Stage.REVERTED),
        (State.STUCK, False, Stage.STUCK),
    ],
)
def test_only_what_is_settled_is_told_as_the_end(
    state: State, *, settled: bool, stage: Stage
) -> None:
    """A link that cannot be flipped is no end; what needs people is told at once."""
    rollout = dataclasses.replace(ROLLOUT, state=state, settled=settled)
    assert judged(ROLLING, rollout, HOSTS, []).stage is stage


def test_what_is_in_the_way_of_the_end_is_told() -> None:
    """With the trouble's own words."""
    rollout = dataclasses.replace(ROLLOUT, state=State.DONE)
    assert judged(ROLLING, rollout, HOSTS, [], "no symlink").detail == "no symlink"


def test_a_host_that_failed_says_why() -> None:
    """In the reason of a rollout that is held."""
    rollout = dataclasses.replace(ROLLOUT, state=State.HELD, reason="b failed: it died")
    assert judged(ROLLING, rollout, HOSTS, []).detail == "b failed: it died"


@pytest.mark.parametrize(
    ("told", "stage"),
    [
        ("done", Stage.DONE),
        ("reverted", Stage.REVERTED),
        ("superseded by 4", Stage.SUPERSEDED),
    ],
)
def test_what_ended_between_two_looks_is_found_in_the_history(
    told: str, stage: Stage
) -> None:
    """Another rollout has taken its place since."""
    history = [{"number": 3, "outcome": told, "reason": ""}]
    later = dataclasses.replace(ROLLOUT, number=4)
    assert judged(ROLLING, later, HOSTS, history).stage is stage


def test_what_another_took_the_place_of_is_told_alike_before_it_is_history() -> None:
    """The history is written after the rollout that takes the place."""
    later = dataclasses.replace(ROLLOUT, number=4)
    kept = [{"number": 3, "outcome": "superseded by 4", "reason": ""}]
    found = judged(ROLLING, later, HOSTS, [])
    assert found == judged(ROLLING, later, HOSTS, kept)
    assert found.detail == "superseded by 4"


def heard(*told: bytes) -> Iterator[bytes]:
    """Yield lines, then silence."""
    yield from told
    while True:
        yield b""


def test_a_follower_tells_each_change_once_and_ends_with_the_end() -> None:
    """Whatever it hears twice, and whatever is no record."""
    said: list[str] = []
    done = dataclasses.replace(ROLLING, stage=Stage.DONE)
    other = dataclasses.replace(done, upload="shop-2.tar.gz")
    rolling = outcome.encode(ROLLING)
    lines = heard(
        b"here",
        rolling,
        rolling,
        b"gone",
        b"Welcome!",
        b"to this host",
        outcome.encode(other),
        outcome.encode(done),
    )
    found = Follower("shop-1.tar.gz", said.append, 60).follow(lines)
    assert found == done
    assert said == [
        "shop: rollout 3 to shop-1 rolling",
        "what the release server tells is ignored: it is no record",
        "shop: rollout 3 to shop-1 done",
    ]


@pytest.mark.parametrize(
    ("line", "expected"), [(b"here", "nobody has taken it"), (b"gone", "taken by")]
)
def test_a_follower_that_hears_nothing_says_so_and_gives_up(
    line: bytes, expected: str
) -> None:
    """Whether it lies there still makes the difference."""
    said: list[str] = []

    def lines() -> Iterator[bytes]:
        while True:
            yield line

    with pytest.raises(TimedOutError, match="nobody took it"):
        Follower("shop-1.tar.gz", said.append, 0.05).follow(lines())
    assert len(said) == 1
    assert expected in said[0]
