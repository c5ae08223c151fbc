"""What ran at the apps, compared with what the clients of a load saw.

A line of the apps' log is `<number> <method> <bytes of body> <release>`; apps write it with
one call when they have read the whole request, before they answer.  Pure.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Iterable
from dataclasses import dataclass

from rig.load.fates import ANSWERED
from rig.load.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """The numbers of requests that did not run exactly once, or not whole."""

    doubled: list[int]
    """In the log more than once."""
    missing: list[int]
    """Answered, but not in the log."""
    unknown: list[str]
    """Lines of the log that name no request of the load, or are not whole."""
    altered: list[str]
    """Lines of the log with another method or length of body than was sent."""

    def __bool__(self) -> bool:
        return any((self.doubled, self.missing, self.unknown, self.altered))


def differences(
    ledger: Iterable[str], log: Iterable[str], traffics: Iterable[Traffic]
) -> Differences:
    """Compare the lines of a load's ledger with the lines of its apps' log."""
    sent = {each["number"]: each for each in map(json.loads, ledger)}
    by_kind = {traffic.kind: traffic for traffic in traffics}
    ran: collections.Counter[int] = collections.Counter()
    unknown, altered = [], []
    for line in log:
        words = line.split()
        number = int(words[0]) if len(words) == 4 and words[0].isdigit() else 0
        if number not in sent:
            unknown.append(line)
            continue
        ran[number] += 1
        traffic = by_kind[sent[number]["kind"]]
        if words[1:3] != [traffic.method, str(traffic.body_bytes)]:
            altered.append(line)
    return Differences(
        doubled=[number for number, times in ran.items() if times > 1],
        missing=[
            number
            for number, request in sent.items()
            if request["fate"] == ANSWERED and not ran[number]
        ],
        unknown=unknown,
        altered=altered,
    )
