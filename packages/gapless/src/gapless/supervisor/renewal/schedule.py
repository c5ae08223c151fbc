"""When a time of crontab(5) comes next.  Pure: the moment is an argument.

Five fields, or six with seconds in front; names of months and days; `L` for the last day
of a month; @hourly and the like: what croner reads, with which PM2 does this.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = [
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_YEARS = 9
"""A time that does not come within them never comes; 29 February may take 8."""
_LAST = 32
"""Stands for the last day of a month."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The values of each field at which it strikes."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either_day: bool
    """A day of the month or of the week is enough: both are restricted."""


def parse(expression: str) -> Schedule:
    """Return what an expression means.  Raises ValueError that says which field."""
    words = _ALIASES.get(expression.strip().lower(), expression).split()
    if len(words) not in (5, 6):
        raise ValueError(
            f"it has {len(words)} fields; write five, minute hour day month weekday, "
            "or six with seconds in front"
        )
    seconds = words.pop(0) if len(words) == 6 else "0"
    minute, hour, day, month, weekday = words
    weekdays = {number % 7 for number in _field("weekday", weekday, 0, 7, _DAYS)}
    return Schedule(
        seconds=tuple(sorted(_field("second", seconds, 0, 59))),
        minutes=tuple(sorted(_field("minute", minute, 0, 59))),
        hours=tuple(sorted(_field("hour", hour, 0, 23))),
        days=frozenset(_field("day", day, 1, 31)),
        months=frozenset(_field("month", month, 1, 12, _MONTHS)),
        weekdays=frozenset(weekdays),
        either_day=not _is_any(day) and not _is_any(weekday),
    )


def next_after(schedule: Schedule, moment_s: float) -> float | None:
    """Return the first time after a moment, both seconds since the epoch, or None.

    Times are local.  One that the change to summer time skips is taken at the first
    moment after the gap; one that comes twice is taken once.
    """
    now = time.localtime(moment_s)
    year, month, day = now.tm_year, now.tm_mon, now.tm_mday
    while year <= now.tm_year + _YEARS:
        if month not in schedule.months:
            year, month = _next_month(year, month)
            day = 1
        else:
            if _is_on(schedule, year, month, day):
                found = _first_of_day(schedule, (year, month, day), moment_s)
                if found is not None:
                    return found
            day += 1
            if day > _days_in(year, month):
                year, month = _next_month(year, month)
                day = 1
    return None


def _first_of_day(
    schedule: Schedule, date: tuple[int, int, int], moment_s: float
) -> float | None:
    earliest = None
    for hour in schedule.hours:
        last = _moment(date, hour, schedule.minutes[-1], schedule.seconds[-1])
        if last <= moment_s:
            continue
        for minute in schedule.minutes:
            if _moment(date, hour, minute, schedule.seconds[-1]) <= moment_s:
                continue
            for second in schedule.seconds:
                at = _moment(date, hour, minute, second)
                if at > moment_s and (earliest is None or at < earliest):
                    earliest = at
            if earliest is not None:
                return earliest
    return earliest


def _moment(date: tuple[int, int, int], hour: int, minute: int, second: int) -> float:
    """Return when a local time is; one in a gap is moved to its end."""
    year, month, day = date
    # Asked for standard and for summer time: in a gap both are wrong by the gap, one
    # before it and one behind; twice a year the earlier of two right ones counts.
    found = [
        time.mktime((year, month, day, hour, minute, second, 0, 0, is_dst))
        for is_dst in (1, 0)
    ]
    right = [at for at in found if time.localtime(at)[3:5] == (hour, minute)]
    return min(right) if right else _end_of_gap(min(found), max(found))


def _end_of_gap(low: float, high: float) -> float:
    """Return the first moment after the clock was put forward, between two moments."""
    offset = time.localtime(low).tm_gmtoff
    while high - low > 1:
        middle = (low + high) // 2
        if time.localtime(middle).tm_gmtoff == offset:
            low = middle
        else:
            high = middle
    return high


def _is_on(schedule: Schedule, year: int, month: int, day: int) -> bool:
    last = _days_in(year, month)
    by_date = day in schedule.days or (day == last and _LAST in schedule.days)
    by_name = _weekday(year, month, day) in schedule.weekdays
    return by_date or by_name if schedule.either_day else by_date and by_name


def _days_in(year: int, month: int) -> int:
    # The module calendar would cost the supervisor a megabyte.
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 28 + is_leap if month == 2 else 30 + (month + month // 8) % 2


def _weekday(year: int, month: int, day: int) -> int:
    """Return the day of the week, 0 for Sunday (Sakamoto's congruence)."""
    offsets = (0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4)
    year -= month < 3
    return (year + year // 4 - year // 100 + year // 400 + offsets[month - 1] + day) % 7


def _next_month(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)


# --- fields -------------------------------------------------------------------------


def _is_any(text: str) -> bool:
    return text in ("*", "?")


def _field(
    name: str, text: str, low: int, high: int, names: list[str] | None = None
) -> set[int]:
    found: set[int] = set()
    for piece in text.split(","):
        found |= _piece(name, piece, low, high, names or [])
    return found


def _piece(name: str, piece: str, low: int, high: int, names: list[str]) -> set[int]:
    if name == "day" and piece.upper() == "L":
        return {_LAST}
    span, slash, step_text = piece.partition("/")
    if slash and not (_is_number(step_text) and int(step_text)):
        raise ValueError(f"{name} {piece!r}: the step must be a number from 1 on")
    step = int(step_text) if slash else 1
    if _is_any(span):
        return set(range(low, high + 1, step))
    first_text, dash, last_text = span.partition("-")
    numbers = {text: number for number, text in enumerate(names, min(low, 1))}
    bounds = []
    for text in (first_text, last_text) if dash else (first_text,):
        number = int(text) if _is_number(text) else numbers.get(text.lower(), -1)
        if not low <= number <= high:
            examples = f" or {names[0].upper()}-{names[-1].upper()}" if names else ""
            raise ValueError(
                f"{name} {piece!r}: write {low}-{high}{examples}, *, or */5"
            )
        bounds.append(number)
    if not dash:
        bounds.append(high if slash else bounds[0])
    if bounds[1] < bounds[0]:
        raise ValueError(f"{name} {piece!r}: the range goes backwards")
    return set(range(bounds[0], bounds[1] + 1, step))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
