"""The supervisor's own code in every small world: each order of events, each death.

`rig/model` has the worlds and the promises.  Here is how large they are, and that the model
finds what the rules of `docs/architecture.md` are for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gapless.supervisor.adoption import Adoption
from gapless.supervisor.decide import plan
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.notes import Notes
from gapless.supervisor.memory.operations import Operation
from rig.model.explore import BrokenPromiseError, explore, first_start, running

MOST = 40_000
"""Worlds that one search of the soak looks at: minutes."""


def worlds_of(op: str, instances: int, crashes: int, deaths: int, most: int) -> int:
    """Explore, and return how many worlds were found."""
    if op == "start":
        first = first_start(crashes=crashes, deaths=deaths)
    else:
        first = running(instances, crashes=crashes, deaths=deaths)
    return len(explore(first, op, instances=instances, most=most).came_by) + 1


@pytest.mark.parametrize(
    ("op", "instances", "crashes", "deaths", "most"),
    [
        ("start", 1, 0, 1, MOST),  # to the end: 721 worlds
        ("reload", 1, 0, 1, MOST),  # to the end: 1039 worlds
        ("reload", 1, 1, 1, 200),
        ("reload", 2, 0, 1, 200),
    ],
)
def test_every_promise_holds_in_every_small_world(
    op: str, instances: int, crashes: int, deaths: int, most: int
) -> None:
    """No order of events and no death after any side effect breaks one."""
    assert worlds_of(op, instances, crashes, deaths, most) > 80


@pytest.mark.soak
@pytest.mark.parametrize(
    ("op", "instances", "crashes", "deaths"),
    [
        ("start", 1, 1, 1),
        ("start", 1, 0, 2),
        ("reload", 1, 1, 0),
        ("reload", 1, 1, 1),
        ("reload", 1, 0, 2),
        ("reload", 2, 0, 1),
    ],
)
def test_every_promise_holds_in_every_larger_world(
    op: str, instances: int, crashes: int, deaths: int
) -> None:
    """The same, to the end of each search or for minutes."""
    assert worlds_of(op, instances, crashes, deaths, MOST) > 1000


# --- each rule is needed ------------------------------------------------------------------


def let_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget and answer before the note."""

    def forget(self: KeeperConnection, key: str) -> None:
        self._send({"op": "forget", "key": key})

    monkeypatch.setattr(KeeperConnection, "forget", forget)


def trust_the_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave an instance as it was noted, whatever the keeper has."""
    monkeypatch.setattr(Adoption, "_end_if_gone", lambda *_: None)
    let_go_at_once(monkeypatch)


def answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a program go on before it is noted what it got."""

    def answer(
        self: KeeperConnection, key: str, call: int, action: str, **fields: Any
    ) -> None:
        message = {"op": "answer", "key": key, "id": call, "action": action}
        self._send(message | fields)

    monkeypatch.setattr(KeeperConnection, "answer", answer)


def signal_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a signal as sent that could not be sent."""
    monkeypatch.setattr(plan, "_not_spawned", lambda _: set())


def end_before_the_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell an instance to end before it is noted that its generation retires."""
    monkeypatch.setattr(Notes, "write_roles", lambda *_: None)


def forget_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not know a client again."""
    monkeypatch.setattr(Operation, "follow", lambda *_: None)


@pytest.mark.parametrize(
    ("breaks", "op", "crashes", "deaths"),
    [
        pytest.param(trust_the_note, "reload", 1, 1, marks=pytest.mark.soak),
        pytest.param(end_before_the_note, "reload", 1, 1, marks=pytest.mark.soak),
        (answer_at_once, "reload", 0, 1),
        (signal_what_is_not_there, "reload", 0, 0),
        (forget_what_was_asked, "reload", 0, 1),
    ],
)
def test_without_its_rule_a_promise_breaks(
    monkeypatch: pytest.MonkeyPatch,
    breaks: Callable[[pytest.MonkeyPatch], None],
    op: str,
    crashes: int,
    deaths: int,
) -> None:
    """The model finds it, and tells how it comes about."""
    first = running(1, crashes=crashes, deaths=deaths)
    breaks(monkeypatch)
    with pytest.raises(BrokenPromiseError) as found:
        explore(first, op, instances=1, most=20_000)
    assert "the client asks" in str(found.value)
