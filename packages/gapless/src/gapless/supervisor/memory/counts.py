"""What an instance counts: its requests and procedures (spec/drain.md).  Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

MOST_NAMES = 20
LONGEST_NAME = 200
MOST = 1 << 53
LONGEST_S = 1e9
"""A longer time cannot be shown as a date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The sums of one process, or of all processes of an instance."""

    requests: int = 0
    """Under way, those that are being refused among them."""
    refusing: int = 0
    """Refused, and the answer is not sent yet."""
    procedures: int = 0
    finished_requests: int = 0
    """Since the drain began, like all that follows."""
    finished_procedures: int = 0
    refused: int = 0
    silent: int = 0
    """Processes that have not answered the last order yet."""
    unable: int = 0
    """Processes that count HTTP only and refuse nothing: the preload does that."""
    cut_requests: int = 0
    """Under way when their process ended."""
    cut_procedures: int = 0
    running: tuple[dict[str, Any], ...] = ()
    """The oldest things under way, procedures before requests: kind, name, for_s."""
    longest: dict[str, Any] | None = None
    """The longest that finished: kind, name, for_s."""
    finished: tuple[dict[str, Any], ...] = ()
    """The procedures that finished, the longest first."""
    cut: tuple[dict[str, Any], ...] = ()
    """What was under way when its process ended, procedures before requests."""

    @property
    def owed(self) -> int:
        """What was begun and must be finished, or may have been."""
        return self.requests - self.refusing + self.procedures + self.silent

    @property
    def begun(self) -> int:
        """Requests that were under way when the drain began, or came since."""
        over = self.finished_requests + self.refused + self.cut_requests
        return self.requests + over

    def plus(self, other: Counts) -> Counts:
        """Return the sums of both."""
        numbers = {
            name: getattr(self, name) + getattr(other, name) for name in _NUMBERS
        }
        both = [each for each in (self.longest, other.longest) if each is not None]
        return Counts(
            **numbers,
            running=_oldest(*self.running, *other.running),
            finished=_oldest(*self.finished, *other.finished),
            cut=_oldest(*self.cut, *other.cut),
            longest=min(both, key=_age) if both else None,
        )

    def aged(self, by_s: float) -> Counts:
        """Return them as they are *by_s* seconds after they were sent."""
        running = tuple({**e, "for_s": e["for_s"] + by_s} for e in self.running)
        return dataclasses.replace(self, running=running)

    def ended(self) -> Counts:
        """Return them for a process that has ended: what was under way is cut."""
        return dataclasses.replace(
            self,
            requests=0,
            refusing=0,
            procedures=0,
            silent=0,
            running=(),
            cut_requests=self.cut_requests + self.requests,
            cut_procedures=self.cut_procedures + self.procedures,
            cut=_oldest(*self.cut, *self.running),
        )


_NUMBERS = tuple(each.name for each in dataclasses.fields(Counts) if each.type == "int")


@dataclass(slots=True)
class Totals:
    """What the reports of an app add up to, since it is known here."""

    operations: dict[str, int] = field(default_factory=dict)
    """How many ended, by action and outcome: `reload done`."""
    took_s: dict[str, float] = field(default_factory=dict)
    """How long they took together, by the same words."""
    connections: dict[str, int] = field(default_factory=dict)
    """What became of them, by the words of a report."""
    cut: dict[str, int] = field(default_factory=dict)
    """What was cut: connections, requests, procedures, outgoing."""

    def add(self, report: dict[str, Any], took_s: float) -> None:
        """Add a report (spec/control.md) of what took *took_s*."""
        reverted = any(each["step"] == "reverted" for each in report["steps"])
        is_back = report["outcome"] == "failed" and reverted
        outcome = "reverted" if is_back else report["outcome"]
        words = f"{report['action']} {outcome}"
        _add(self.operations, words, 1)
        _add(self.took_s, words, round(took_s, 3))
        for name, number in (report["connections"] or {}).items():
            if name != "seen":
                _add(self.connections, name, number)
        for name in ("connections", "requests", "procedures", "outgoing"):
            _add(self.cut, name, (report[name] or {}).get("cut", 0))


def _add(numbers: dict[str, Any], name: str, number: float) -> None:
    if number:
        numbers[name] = numbers.get(name, 0) + number


def parse(message: dict[str, Any]) -> Counts:
    """Return the counts in a message of a process.  Raises ValueError."""
    finished, running = _known(message, "finished", {}), _known(message, "running", [])
    longest, named = message.get("longest"), _known(finished, "named", [])
    return Counts(
        requests=_number(message, "requests"),
        refusing=_number(message, "refusing"),
        procedures=_number(message, "procedures"),
        finished_requests=_number(finished, "requests"),
        finished_procedures=_number(finished, "procedures"),
        refused=_number(message, "refused"),
        running=tuple(_named(each) for each in running[:MOST_NAMES]),
        longest=None if longest is None else _named(longest),
        finished=tuple(_named(each) for each in named[:MOST_NAMES]),
    )


def _known(message: dict[str, Any], name: str, otherwise: Any) -> Any:
    found = message.get(name, otherwise)
    if type(found) is not type(otherwise):
        raise ValueError(f"{name} is {found!r}")
    return found


def _number(message: dict[str, Any], name: str) -> int:
    number: Any = message.get(name, 0)
    is_number = isinstance(number, int) and not isinstance(number, bool)
    if not is_number or not 0 <= number <= MOST:
        raise ValueError(f"{name} is {number!r}")
    return int(number)


def _named(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict) or message.get("kind") not in (
        "request",
        "procedure",
    ):
        raise ValueError(f"not a request or procedure: {message!r}")
    for_s: Any = message.get("for_s")
    is_number = isinstance(for_s, int | float) and not isinstance(for_s, bool)
    if not is_number or not 0 <= for_s <= LONGEST_S:
        raise ValueError(f"for_s is {for_s!r}")
    name = _plain(str(message.get("name", ""))[:LONGEST_NAME])
    return {"kind": message["kind"], "name": name, "for_s": float(for_s)}


def _plain(name: str) -> str:
    """Return a name that is safe for terminals and files."""
    if name.isprintable():
        return name
    return "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in name
    )


def _oldest(*named: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return as many as are kept: procedures first, then by age."""
    ordered = sorted(named, key=lambda each: (each["kind"] != "procedure", _age(each)))
    return tuple(ordered[:MOST_NAMES])


def _age(named: dict[str, Any]) -> float:
    return -float(named["for_s"])
