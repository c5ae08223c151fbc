"""What is printed while `gapless push` waits for the outcome of an upload."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import pytest

from gapless.base import clock
from gapless.base.errors import TimedOutError
from gapless.push import outcome
from gapless.push.outcome import Outcome, Stage
from gapless.push.outcome_follower import OutcomeFollower

ROLLING = Outcome(
    upload="shop-1.tar.gz", app="shop", stage=Stage.ROLLING, release="shop-1", rollout=3
)


def then_silence(*lines: bytes) -> Iterator[bytes]:
    """Yield lines, then empty ones without end."""
    yield from lines
    while True:
        yield b""


def test_a_follower_tells_each_change_once_and_ends_with_the_end() -> None:
    """Repeated records and lines that are no record make no difference."""
    printed: list[str] = []
    done = dataclasses.replace(ROLLING, stage=Stage.DONE)
    other = dataclasses.replace(done, upload="shop-2.tar.gz")
    rolling = outcome.encode(ROLLING)
    lines = then_silence(
        b"here",
        rolling,
        rolling,
        b"gone",
        b"Welcome!",
        b"to this host",
        outcome.encode(other),
        outcome.encode(done),
    )
    found = OutcomeFollower("shop-1.tar.gz", printed.append, 60).follow(lines)
    assert found == done
    assert printed == [
        "shop: rollout 3 to shop-1 rolling",
        "a line of the release server is ignored: it is no record",
        "shop: rollout 3 to shop-1 done",
    ]


@pytest.mark.parametrize(
    ("rollout", "command"), [(3, "rollout status shop"), (0, "releases shop")]
)
def test_a_follower_that_gives_up_names_what_shows_the_rest(
    rollout: int, command: str
) -> None:
    """With the app: a release server may have several; without a fleet, no rollout."""
    line = outcome.encode(dataclasses.replace(ROLLING, rollout=rollout))
    with pytest.raises(TimedOutError) as at:
        OutcomeFollower("shop-1.tar.gz", print, 0).follow(then_silence(line))
    assert f"`gapless {command}` on the release server" in at.value.hint


@pytest.mark.parametrize(
    ("line", "expected"),
    [(b"here", "no publisher has taken it"), (b"gone", "taken by")],
)
def test_a_follower_that_hears_nothing_says_so_and_gives_up(
    monkeypatch: pytest.MonkeyPatch, line: bytes, expected: str
) -> None:
    """The warning depends on whether the upload is in the inbox."""
    printed: list[str] = []
    seconds = iter(range(1000))
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(seconds)))

    with pytest.raises(TimedOutError, match="no publisher took it"):
        OutcomeFollower("shop-1.tar.gz", printed.append, 60).follow(
            itertools.repeat(line)
        )
    assert len(printed) == 1
    assert expected in printed[0]
