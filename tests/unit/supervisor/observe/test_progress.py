"""What looks at a connection tell: simulated exchanges, at any pace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.supervisor.kernel.connections import CLOSE_WAIT, ESTABLISHED, Connection
from gapless.supervisor.observe import progress
from gapless.supervisor.observe.progress import QUIET_S, Progress

LOOK_S = 0.02
GAPS = st.lists(st.floats(0.06, QUIET_S - 0.1), min_size=2, max_size=12)


def at(
    now: float, requests: list[float], pieces: list[float], **more: int
) -> Connection:
    """Return a connection as it is at a moment, after what came and what was sent."""
    came = [each for each in requests if each <= now]
    went = [each for each in pieces if each <= now]
    since = {"received": came or [0.0], "sent": went or [0.0]}
    ages = {name: int((now - times[-1]) * 1000) for name, times in since.items()}
    plain = {
        "inode": 7,
        "state": ESTABLISHED,
        "local": ("127.0.0.1", 80),
        "remote": ("127.0.0.1", 40_000),
        "unread": 0,
        "unsent": 0,
        "bytes_received": 100 * len(came),
        "bytes_acked": 1000 * len(went),
        "last_received_ms": ages["received"],
        "last_sent_ms": ages["sent"],
        "segments_sent": len(went),
    }
    return Connection(**(plain | more))  # type: ignore[arg-type]  # of a table


def looks(
    requests: list[float], pieces: list[float], begin: float, end: float
) -> Iterator[tuple[float, Connection, Progress]]:
    """Yield each look at an exchange, and what they tell together."""
    found: Progress | None = None
    for number in range(int((end - begin) / LOOK_S)):
        now = begin + number * LOOK_S
        connection = at(now, requests, pieces)
        if found is None:
            found = Progress.begin(connection, now)
        else:
            found.look(connection, now)
        yield now, connection, found


@given(GAPS, st.floats(0, 0.9))
def test_a_stream_is_under_way_from_its_second_burst_to_its_last(
    gaps: list[float], part: float
) -> None:
    """Whenever the looks begin, and however its gaps change."""
    pieces = [1.0]
    for gap in gaps:
        pieces.append(pieces[-1] + gap)
    begin = pieces[0] + part * (pieces[-1] - pieces[0])
    later = [each for each in pieces if each > begin + LOOK_S]
    for now, connection, found in looks([1.0], pieces, begin, pieces[-1]):
        if later and now > later[0] + LOOK_S:
            assert progress.is_under_way(connection, found), now


@given(GAPS)
def test_a_stream_that_is_over_is_not_waited_for_much_longer(gaps: list[float]) -> None:
    """For five seconds, or for three of its longest gaps."""
    pieces = [1.0]
    for gap in gaps:
        pieces.append(pieces[-1] + gap)
    over = max(QUIET_S, 3 * (max(gaps) + 2 * LOOK_S)) + LOOK_S
    seen = [*looks([1.0], pieces, 0.9, pieces[-1] + over + 1)]
    late = [each for each in seen if each[0] > pieces[-1] + over]
    assert late
    assert not any(progress.is_under_way(each[1], each[2]) for each in late)


def test_the_next_request_begins_anew() -> None:
    """Its answer is one burst: the connection is idle right after it."""
    pieces = [1.0, 1.2, 1.4, 3.0]
    *_, (_, last, found) = looks([1.0, 3.0], pieces, 1.1, 3.5)
    assert not found.is_stream
    assert not progress.is_under_way(last, found)
    assert progress.is_unknown(last)


@pytest.mark.parametrize("took_s", [0.05, 0.3, 3.0, 20.0])
def test_an_answer_in_one_burst_is_over_when_it_went_out(took_s: float) -> None:
    """However long it took: that it was the only one was seen."""
    asked, answered = 2.0, 2.0 + took_s
    seen = [*looks([1.0, asked], [1.001, answered], 1.5, answered + 1)]
    for now, connection, found in seen:
        if asked + LOOK_S < now < answered - LOOK_S:
            assert progress.is_under_way(connection, found), now
        if now > answered + 2 * LOOK_S:
            assert not progress.is_under_way(connection, found), now
            assert not progress.is_moving(connection, found), now
            assert progress.is_unknown(connection)


def test_a_stream_whose_pieces_come_faster_than_the_looks_goes_on() -> None:
    """What is cut in the middle of it is cut."""
    pieces = [1 + 0.005 * number for number in range(200)]
    for now, connection, found in looks([0.99], pieces, 0.995, 1.99):
        if now > 1.3:
            assert progress.is_moving(connection, found), now


def test_who_is_not_patient_waits_for_streams_that_are_known() -> None:
    """While an instance is recycled, new connections wait."""
    late = at(1.0, [0.0], [0.5])
    assert progress.is_under_way(late)
    assert not progress.is_under_way(late, patient=False)
    *_, (_, connection, found) = looks([1.0], [1.1, 1.5, 1.9], 1.05, 2.0)
    assert progress.is_under_way(connection, found, patient=False)


def test_an_answer_that_the_kernel_still_sends_is_one_burst() -> None:
    """It goes out in pieces because its reader is slow."""
    found = Progress.begin(at(1.0, [1.0], [1.0], unsent=9), 1.0)
    for now, pieces, unsent in (
        (1.1, [1.0], 9),
        (1.5, [1.0, 1.5], 9),
        (2.0, [1, 1.5, 2], 0),
    ):
        found.look(at(now, [1.0], pieces, unsent=unsent), now)
    assert not found.is_stream


@pytest.mark.parametrize(
    ("asked", "answered", "now", "expected"),
    [
        (0.0, 0.05, 0.4, False),  # an answer at once
        (0.0, 0.5, 1.0, True),  # one that came late may go on
        (0.0, 0.5, 6.0, False),
        (0.0, 60.0, 75.0, True),  # events each 15 s, say
        (0.0, 60.0, 125.0, False),
    ],
)
def test_one_look_at_a_late_answer(
    asked: float, answered: float, now: float, *, expected: bool
) -> None:
    """Without other looks it may go on for as long as it took to come."""
    assert progress.is_under_way(at(now, [asked], [answered])) == expected


def test_what_cannot_carry_an_answer_is_not_waited_for() -> None:
    """The kernel alone holds it; nothing was asked, and its client is gone."""
    gone = at(1.0, [0.0], [0.5], inode=0)
    silent = at(1.0, [], [], state=CLOSE_WAIT)
    assert not progress.is_under_way(gone)
    assert not progress.is_under_way(silent)
    assert not progress.is_unknown(gone)
