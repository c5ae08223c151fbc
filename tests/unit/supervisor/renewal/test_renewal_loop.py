"""When renewals for changed files are a loop."""

from __future__ import annotations

from gapless.supervisor.renewal import renewal_loop
from gapless.supervisor.renewal.renewal_loop import RenewalLoop, Verdict

RENEWAL_S = 2.3


def verdicts(changes: list[float]) -> list[tuple[Verdict, float]]:
    """Return what follows from changes, each at its time or when the last one is done."""
    loop, now = RenewalLoop(), 0.0
    found: list[tuple[Verdict, float]] = []
    for changed_at in changes:
        now = max(now, changed_at)
        verdict = loop.judge(changed_at, now)
        if verdict is Verdict.REST:
            now = loop.rests_until
            found.append((verdict, now))
            verdict = loop.judge(changed_at, now)
        found.append((verdict, now))
        if verdict is Verdict.STOP:
            break
        loop.begin(["/app/a"], changed_at, now)
        now += RENEWAL_S
        loop.end(now)
    return found


def kinds(changes: list[float]) -> list[Verdict]:
    """Return the verdicts without their times."""
    return [verdict for verdict, _ in verdicts(changes)]


def test_who_saves_now_and_then_is_followed() -> None:
    """Every five seconds, for a minute: each is a renewal at once."""
    saves = [5.0 * number for number in range(12)]
    assert kinds(saves) == [Verdict.RENEW] * 12


def test_what_an_app_writes_when_it_starts_is_a_loop() -> None:
    """Two renewals at once, one more after a rest, and none after that."""
    starts = [0.0]
    found: list[tuple[Verdict, float]] = []
    for _ in range(6):
        found = verdicts(starts)
        starts.append(found[-1][1] + 0.5)
    assert [verdict for verdict, _ in found] == [
        Verdict.RENEW,
        Verdict.RENEW,
        Verdict.REST,
        Verdict.RENEW,
        Verdict.STOP,
    ]
    assert sum(at < 20 for _, at in found) == 2


def test_a_pause_ends_a_row() -> None:
    """Two saves in a row, a pause, two saves in a row."""
    assert kinds([0.0, 1.0, 20.0, 21.0]) == [Verdict.RENEW] * 4


def test_too_many_in_a_short_time_are_a_loop_too() -> None:
    """An app that writes every ten seconds is stopped after some minutes."""
    found = kinds([10.0 * number for number in range(100)])
    assert found == [Verdict.RENEW] * renewal_loop.MOST_LATELY + [Verdict.STOP]
    assert set(kinds([30.0 * number for number in range(100)])) == {Verdict.RENEW}
