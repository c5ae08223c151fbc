"""How instances that hang are replaced: one at a time, and never before a successor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gapless.supervisor.decide.actions import (
    CompareFiles,
    Kill,
    Replace,
    SendStop,
    StartSuccessor,
    TakeOver,
)
from gapless.supervisor.decide.files.comparison import CONFIRM_S
from gapless.supervisor.decide.liveness import replace_hanging
from gapless.supervisor.memory.model import (
    FilesSeen,
    Generation,
    Instance,
    Phase,
    Role,
    Seat,
    Takeover,
)
from gapless.supervisor.memory.spec import Alive, Asks, Restart

NOW = 100.0
ALIVE = Alive(when=Asks.HTTP, path="/health", failures=3)
LOOKED = FilesSeen(seen_at=NOW, ready_since=NOW, ready_seen_at=NOW)
WHY = "it does not answer: it answered 503, 3 checks in a row"


def instance(ordinal: int, failures: int = 0, **fields: Any) -> Instance:
    """Return an instance that is ready, and has failed some checks.

    Its connections were taken.
    """
    named: dict[str, Any] = {"proved_alive": True, "phase": Phase.READY}
    named["takeover"] = Takeover.SETTLED
    named["key"] = f"1.{ordinal}"
    return Instance(
        ordinal=ordinal,
        started=1.0,
        alive_failures=failures,
        alive_answer="it answered 503" if failures else "",
        **named | fields,
    )


def successor(ordinal: int, failures: int = 0, **fields: Any) -> Instance:
    """Return one that was started beside the instance of a seat."""
    named: dict[str, Any] = {"key": f"1.{ordinal}s", "proved_alive": False}
    named["files"] = LOOKED
    return instance(ordinal, failures, **named | {"replaces": f"1.{ordinal}"} | fields)


def decided(*instances: Instance, steady: bool = True, **fields: Any) -> list[Any]:
    """Return what is decided about instances of one generation."""
    ordinals = sorted({each.ordinal for each in instances})
    seats = fields.pop("seats", tuple(Seat(ordinal=each) for each in ordinals))
    named: dict[str, Any] = {"alive": ALIVE}
    made = Generation(
        number=1,
        role=Role.SERVING,
        since=1.0,
        seats=seats,
        instances=instances,
        **named | fields,
    )
    return list(replace_hanging(made, NOW, steady=steady))


def test_nothing_is_asked_of_an_app_without_the_key() -> None:
    """What was noted before the key was removed has no effect."""
    assert decided(instance(0, 3), alive=Alive()) == []


def test_only_enough_failures_in_a_row_make_it_hang() -> None:
    """Fewer are a slow moment."""
    assert decided(instance(0, 2), instance(1)) == []
    assert decided(instance(0, 3), instance(1)) == [StartSuccessor(1, 0, "1.0")]


def test_the_only_instance_gets_a_successor_beside_it() -> None:
    """It is not ended: it may be all that serves."""
    assert decided(instance(0, 9)) == [StartSuccessor(1, 0, "1.0")]


def test_it_goes_when_its_successor_has_passed_a_check() -> None:
    """Not before, though the successor is ready."""
    starting = successor(0, phase=Phase.STARTING)
    assert decided(instance(0, 3), starting) == [NOW + CONFIRM_S]
    assert decided(instance(0, 3), successor(0)) == []
    proven = successor(0, proved_alive=True)
    assert decided(instance(0, 3), proven) == [Replace("1.0", WHY)]


def test_its_connections_are_taken_before_it_goes() -> None:
    """That does not last long: it hangs, so it may never come to rest."""
    proven = successor(0, proved_alive=True)
    found = decided(instance(0, 3, takeover=Takeover.NONE), proven)
    assert found == [TakeOver(1, "1.0")]
    began = {"takeover": Takeover.UNDER_WAY, "takeover_until": NOW + 0.4}
    assert decided(instance(0, 3, **began), proven) == [NOW + 0.4]
    began["takeover_until"] = NOW
    assert decided(instance(0, 3, **began), proven) == [Replace("1.0", WHY)]
    off = instance(0, 3, takeover=Takeover.NONE)
    assert decided(off, proven, takes_over=False) == [Replace("1.0", WHY)]


def test_it_goes_also_if_it_answers_again_meanwhile() -> None:
    """One of both has to go."""
    (found,) = decided(instance(0), successor(0, proved_alive=True))
    assert isinstance(found, Replace)
    assert "when it did again" in found.reason


def test_one_after_the_other() -> None:
    """The next one has its turn when the first is gone."""
    gone = instance(0, 3, hung=True, phase=Phase.DRAINING)
    assert decided(instance(0, 3), successor(0), instance(1, 3)) == []
    assert decided(gone, successor(0, proved_alive=True), instance(1, 3)) == []
    left = successor(0, proved_alive=True)
    assert decided(left, instance(1, 3)) == [StartSuccessor(1, 1, "1.1")]


def test_a_successor_that_does_not_answer_ends() -> None:
    """Then it is not the instance: what both share does not work."""
    (found,) = decided(instance(0, 6), successor(0, 3))
    assert found == SendStop("1.0s", f"as the instance that it replaces, {WHY}")
    (found,) = decided(instance(0), successor(0, 3))
    assert found == SendStop("1.0s", f"unlike the instance that it replaces, {WHY}")


def test_a_successor_that_shares_state_is_killed() -> None:
    """It is looked at while it starts, and before it gets the seat."""
    fresh = FilesSeen()
    starting = successor(0, phase=Phase.STARTING, files=fresh)
    assert decided(instance(0, 3), starting) == [CompareFiles(1, successor="1.0s")]
    proven = successor(0, proved_alive=True, files=fresh)
    assert decided(instance(0, 3), proven) == [
        CompareFiles(1, ready=True, successor="1.0s")
    ]
    both = replace(LOOKED, rivals=True, conflict="a file", conflict_since=NOW)
    found = decided(instance(0, 3), successor(0, proved_alive=True, files=both))
    assert found == [NOW + CONFIRM_S]
    lasting = replace(both, conflict_since=NOW - CONFIRM_S)
    for fields in ({"proved_alive": True}, {"phase": Phase.STARTING}):
        found = decided(instance(0, 3), successor(0, files=lasting, **fields))
        assert found == [Kill("1.0s", "a file", excludes=True)]
    killed = successor(0, files=lasting, killed=True, stop_sent_at=NOW)
    assert decided(instance(0, 3), killed) == []


def test_successors_are_tried_after_the_delays_of_restarts_and_not_for_ever() -> None:
    """The same rules as for crashes; the instance itself is left alone."""
    restart = Restart(max=2)
    for lives, expected in ((1, [NOW + 0.1]), (2, [NOW + 0.2]), (3, [])):
        seat = Seat(ordinal=0, short_lives=lives, exited_at=NOW)
        assert decided(instance(0, 9), seats=(seat,), restart=restart) == expected


def test_where_all_fail_successors_are_tried_for_the_first_only() -> None:
    """What they share is down: more successors would not answer either."""
    given_up = Seat(ordinal=0, short_lives=3, exited_at=NOW)
    seats, restart = (given_up, Seat(ordinal=1)), Restart(max=2)
    both = (instance(0, 9), instance(1, 9))
    assert decided(*both, seats=seats, restart=restart) == []
    three = (*both, instance(2))
    found = decided(*three, seats=(*seats, Seat(ordinal=2)), restart=restart)
    assert found == [StartSuccessor(1, 1, "1.1")]


def test_where_two_may_not_run_the_last_one_that_answers_is_not_ended() -> None:
    """One that hangs beside others ends first, and its seat is filled then."""
    assert decided(instance(0, 3), instance(1), overlaps=False) == [Replace("1.0", WHY)]
    assert decided(instance(0, 3), instance(1, 3), overlaps=False) == []
    assert decided(instance(0, 3), overlaps=False) == []


def test_nothing_begins_while_a_handoff_is_under_way_or_restarts_are_off() -> None:
    """A new generation replaces it anyway."""
    assert decided(instance(0, 3), instance(1), steady=False) == []
    off = Restart(automatic=False)
    assert decided(instance(0, 3), instance(1), restart=off) == []
