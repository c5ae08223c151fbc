"""The next time that an expression of crontab(5) names."""

from __future__ import annotations

import calendar
import datetime as dt
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gapless.supervisor.renewal import schedule


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/New_York"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test in each of three time zones."""
    with in_zone(str(request.param)):
        yield str(request.param)


@contextmanager
def in_zone(name: str) -> Iterator[None]:
    """Set the local time zone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()


def local(text: str) -> float:
    """Return a local time as seconds since the epoch."""
    return dt.datetime.fromisoformat(text).timestamp()


def after(expression: str, text: str) -> str:
    """Return the next local time, or "" if there is none."""
    found = schedule.next_after(schedule.parse(expression), local(text))
    return "" if found is None else time.strftime("%F %T", time.localtime(found))


@pytest.mark.parametrize(
    ("expression", "now", "expected"),
    [
        ("* * * * *", "2026-03-01 10:00:00", "2026-03-01 10:01:00"),
        ("* * * * *", "2026-03-01 10:00:59", "2026-03-01 10:01:00"),
        ("*/15 * * * *", "2026-03-01 10:46:00", "2026-03-01 11:00:00"),
        ("5/20 * * * *", "2026-03-01 10:06:00", "2026-03-01 10:25:00"),
        ("0 3 * * *", "2026-03-01 03:00:00", "2026-03-02 03:00:00"),
        ("0 3 * * *", "2026-03-01 02:59:59", "2026-03-01 03:00:00"),
        ("0 0 1 1 *", "2026-03-01 00:00:00", "2027-01-01 00:00:00"),
        ("0 0 29 2 *", "2026-03-01 00:00:00", "2028-02-29 00:00:00"),
        ("0 0 L * *", "2026-02-01 00:00:00", "2026-02-28 00:00:00"),
        ("0 12 * * mon-FRI", "2026-03-06 12:00:00", "2026-03-09 12:00:00"),
        ("0 12 * * 7", "2026-03-06 12:00:00", "2026-03-08 12:00:00"),
        ("0 12 ? JAN,jul ?", "2026-03-06 12:00:00", "2026-07-01 12:00:00"),
        ("0 0 13 * 5", "2026-03-01 00:00:00", "2026-03-06 00:00:00"),
        ("*/10 * * * * *", "2026-03-01 10:00:05", "2026-03-01 10:00:10"),
        ("30 59 23 31 12 *", "2026-03-01 00:00:00", "2026-12-31 23:59:30"),
        ("@hourly", "2026-03-01 10:00:00", "2026-03-01 11:00:00"),
        ("@weekly", "2026-03-02 00:00:00", "2026-03-08 00:00:00"),
        ("@monthly", "2026-03-02 00:00:00", "2026-04-01 00:00:00"),
        ("0 0 30 2 *", "2026-03-01 00:00:00", ""),
    ],
)
def test_next(expression: str, now: str, expected: str) -> None:
    """Fields may hold lists, ranges, steps, names, days of the month and of the week."""
    with in_zone("UTC"):
        assert after(expression, now) == expected


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("* * *", "3 fields"),
        ("", "0 fields"),
        ("60 * * * *", "minute '60': write 0-59"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day '0'"),
        ("* * * 13 *", "month '13': write 1-12 or JAN-DEC"),
        ("* * * * 8", "weekday '8'"),
        ("*/0 * * * *", "step"),
        ("5-1 * * * *", "backwards"),
        ("* * * * MON#2", "weekday 'MON#2'"),
        ("* * 15W * *", "day '15W'"),
        ("x * * * *", "minute 'x'"),
        ("1,,2 * * * *", "minute ''"),
    ],
)
def test_what_is_wrong_is_said(expression: str, said: str) -> None:
    """An error names the field, the value and what may be written."""
    with pytest.raises(ValueError, match=re.escape(said)):
        schedule.parse(expression)


def test_a_time_that_summer_time_skips_is_the_end_of_the_gap() -> None:
    """A job in the skipped hour runs at the end of the gap."""
    with in_zone("Europe/Berlin"):
        assert after("30 2 * * *", "2026-03-28 12:00:00") == "2026-03-29 03:00:00"
        assert after("30 2 * * *", "2026-03-29 03:00:00") == "2026-03-30 02:30:00"


def test_a_time_that_comes_twice_is_taken_once() -> None:
    """A job in the hour that repeats when summer time ends runs once."""
    with in_zone("Europe/Berlin"):
        daily = schedule.parse("30 2 * * *")
        first = schedule.next_after(daily, local("2026-10-24 12:00:00"))
        assert first is not None
        second = schedule.next_after(daily, first)
        assert second is not None
        assert second - first == 25 * 3600


def test_it_agrees_with_looking_at_every_minute(zone: str) -> None:
    """Random expressions give the same times as an oracle that tests every minute."""
    chance = random.Random(zone)
    for _ in range(60):
        expression = _expression(chance)
        parsed = schedule.parse(expression)
        start = local(f"2026-0{chance.randint(1, 9)}-10 00:00:00")
        start += chance.randint(0, 86_400 * 20)
        found = schedule.next_after(parsed, start)
        expected = _oracle(expression, start)
        if expected is not None:
            assert found == expected, (expression, zone, start)


def _expression(chance: random.Random) -> str:
    def field(low: int, high: int) -> str:
        kind = chance.randint(0, 3)
        first = chance.randint(low, high)
        last = chance.randint(first, high)
        return ["*", f"{first}", f"{first}-{last}", f"*/{chance.randint(1, 9)}"][kind]

    day = field(1, 28) if chance.random() < 0.5 else "*"
    weekday = field(0, 6) if day == "*" else "*"
    return f"{field(0, 59)} {field(0, 23)} {day} * {weekday}"


def _oracle(expression: str, start: float) -> float | None:
    """Return the first matching minute of two weeks; None near a change of the clock."""
    minute, hour, day, _, weekday = expression.split()
    at = start - start % 60
    for _ in range(14 * 24 * 60):
        at += 60
        now = time.localtime(at)
        before, behind = time.localtime(at - 86_400), time.localtime(at + 86_400)
        if not before.tm_gmtoff == now.tm_gmtoff == behind.tm_gmtoff:
            return None
        values = (
            (minute, now.tm_min, 0),
            (hour, now.tm_hour, 0),
            (day, now.tm_mday, 1),
            (weekday, (calendar.weekday(*now[:3]) + 1) % 7, 0),
        )
        if all(_matches(text, number, low) for text, number, low in values):
            return at
    return None


def _matches(text: str, number: int, low: int) -> bool:
    if text == "*":
        return True
    if text.startswith("*/"):
        return (number - low) % int(text[2:]) == 0
    first, _, last = text.partition("-")
    return int(first) <= number <= int(last or first)
