"""How a fleet may change: how many hosts at once, in which order, and when not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gapless.rollout.fields import LeaseSeconds, Lines, Number, Seconds, Share, Shares

_SHARE = re.compile(r"([0-9]{1,5})(%?)")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?:(?P<from>[a-z]{3}) +)?(?P<start>[0-2][0-9]:[0-5][0-9]) *- *"
    r"(?:(?P<to>[a-z]{3}) +)?(?P<end>[0-2][0-9]:[0-5][0-9])"
)
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policy of the release server; it travels in the record of the rollout."""

    slots: Share = "1"
    """How many hosts may change at once: a number, or per cent of the fleet."""
    canary: Lines = ()
    """Hosts that go first, by name."""
    bake_s: Seconds = 0.0
    """How long canaries are watched before others begin."""
    waves: Shares = ()
    """How many hosts have changed at the end of each stage; the rest is the last stage."""
    min_healthy_s: Seconds = 2.0
    """How long every other host is watched."""
    max_failures: Number = 0
    """So many hosts may fail before the rollout is held or reverted."""
    revert: bool = True
    fetch_timeout_s: Seconds = 300.0
    change_timeout_s: Seconds = 600.0
    deadline_s: Seconds = 0.0
    """Of the way to the release; 0: none."""
    revert_deadline_s: Seconds = 0.0
    slot_ttl_s: LeaseSeconds = 15.0
    """A host that did not renew its lease for so long has lost its slot."""
    gone_s: LeaseSeconds = 90.0
    """A host without a heartbeat for so long is not waited for."""
    freeze: Lines = ()
    """When no host begins: `fri 16:00 - mon 08:00`, or `22:00 - 06:00` of every day."""

    def mistakes(self, known: frozenset[str] | None = None) -> list[str]:
        """Return why a rollout could never finish; *known* are the hosts of the fleet."""
        found: list[str] = []
        found += [
            f"{word!r}: write a number from 1 on, or per cent: 25%"
            for word in (self.slots, *self.waves)
            if _SHARE.fullmatch(word) is None or int(word.rstrip("%")) == 0
        ]
        for text in self.freeze:
            window = _window(text)
            if window is None:
                found.append(
                    f"freeze {text!r}: write fri 16:00 - mon 08:00, or 22:00 - 06:00"
                )
            elif window.is_endless:
                found.append(f"freeze {text!r}: it never ends")
        if self.canary and known:
            found += [
                f"canary: there is no host {name!r} in the fleet; it has: "
                f"{', '.join(sorted(known))}"
                for name in self.canary
                if name not in known
            ]
        watched_s = max(self.bake_s if self.canary else 0.0, self.min_healthy_s)
        if self.deadline_s and self.deadline_s <= watched_s:
            found.append(
                f"deadline_s = {self.deadline_s:g} is over before a host was watched "
                f"for {watched_s:g} s"
            )
        if self.revert_deadline_s and self.revert_deadline_s <= self.min_healthy_s:
            found.append(
                f"revert_deadline_s = {self.revert_deadline_s:g} is over before a host "
                f"was watched for {self.min_healthy_s:g} s"
            )
        if self.bake_s and not self.canary:
            found.append("bake_s: there is no canary to be watched")
        if self.slot_ttl_s < 1:
            found.append("slot_ttl_s: less than a second is lost by any pause")
        if self.gone_s <= 2 * self.slot_ttl_s:
            found.append("gone_s: it must be more than twice slot_ttl_s")
        return found


def share(word: str, of: int) -> int:
    """Return a number of hosts, or so many per cent of *of*, at least one."""
    number, percent = word.rstrip("%"), word.endswith("%")
    return max(1, int(number) * of // 100) if percent else int(number)


def is_window(text: str) -> bool:
    """Return whether a text is a window of a freeze."""
    return _window(text) is not None


def frozen_by(windows: tuple[str, ...], weekday: int, minute: int) -> str:
    """Return the window that a moment lies in; empty: none.

    *weekday* counts from Monday, *minute* from midnight, both on the host's local time.
    """
    now = weekday * _DAY_MINUTES + minute
    for text in windows:
        window = _window(text)
        assert window is not None
        for opens in window.opens:
            if (now - opens) % _WEEK_MINUTES < window.length:
                return text
    return ""


@dataclass(frozen=True, slots=True)
class _Window:
    """A window of every week, in minutes from Monday's midnight."""

    opens: tuple[int, ...]
    length: int

    @property
    def is_endless(self) -> bool:
        return len(self.opens) * self.length >= _WEEK_MINUTES


def _window(text: str) -> _Window | None:
    matched = _WINDOW.fullmatch(text.strip().lower())
    if matched is None or (matched["from"] is None) != (matched["to"] is None):
        return None
    start, end = _minute(matched["start"]), _minute(matched["end"])
    if max(start, end) >= _DAY_MINUTES:
        return None
    if matched["from"] is None:
        opens = tuple(day * _DAY_MINUTES + start for day in range(7))
        return _Window(opens, (end - start) % _DAY_MINUTES or _DAY_MINUTES)
    if matched["from"] not in _DAYS or matched["to"] not in _DAYS:
        return None
    opened = _DAYS.index(matched["from"]) * _DAY_MINUTES + start
    closed = _DAYS.index(matched["to"]) * _DAY_MINUTES + end
    return _Window((opened,), (closed - opened) % _WEEK_MINUTES or _WEEK_MINUTES)


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])
