"""What the supervisor's report says of a handoff of a rehearsal.  Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gapless.rehearsal.model import HandoffResult, Memory
from gapless.rehearsal.places import port_of

_OF_A_PORT = ("eaddrinuse", "address already in use", "holds the port", "port is held")
_UDP = "udp:"
_OF_ACCESS = ("eacces", "permission denied", "operation not permitted")


def result(direction: str, report: Mapping[str, Any]) -> HandoffResult:
    """Return a handoff as its report tells it."""
    at_s = _at_s(report)
    took_s = max(at_s.values(), default=0.0)
    switched_s = at_s.get("switched")
    drains = {"draining", "closed"} <= set(at_s)
    return HandoffResult(
        direction=direction,
        outcome=report["outcome"],
        reason=report["reason"] or "",
        hint=report.get("hint") or "",
        start_s=start_s(report),
        switched_s=switched_s,
        took_s=round(took_s, 3),
        connections=report["connections"],
        cut=tuple(report["cut"]),
        counts_requests=report.get("requests") is not None,
        not_taken_over=report.get("not_taken_over") or "",
        drained_s=round(at_s["closed"] - at_s["draining"], 3) if drains else None,
        log_tail=tuple(report["log_tail"]),
    )


def start_s(report: Mapping[str, Any]) -> float | None:
    """Return how long the instances took to be ready; None if they never were."""
    at_s = _at_s(report)
    if "ready" not in at_s:
        return None
    return round(at_s["ready"] - at_s.get("starting", 0.0), 3)


def _at_s(report: Mapping[str, Any]) -> dict[str, float]:
    """Return when each step was, the first time."""
    found: dict[str, float] = {}
    for step in report["steps"]:
        found.setdefault(step["step"], step["at_s"])
    return found


def memory_of(described: Mapping[str, Any], new: int) -> Memory:
    """Return the memory of the generations that run, as `describe` tells it."""
    total = {True: 0, False: 0}
    for each in described["instances_detail"]:
        total[each["generation"] == new] += each["memory_bytes"]
    return Memory(current_bytes=total[False], candidate_bytes=total[True])


def port_trouble(
    report: Mapping[str, Any], row: Mapping[str, Any], ports: Mapping[int, int]
) -> str:
    """Return that an app does not listen where it was told to; empty if it does."""
    own = {0, *ports.values()}  # 0: a path
    others = [a for a in row["addresses"] if _any_port_of(a) not in own]
    if others:
        return (
            f"it listens on {', '.join(others)}, which its configuration does not say"
        )
    if report["outcome"] == "done":
        return ""
    text = text_of(report).lower()
    is_about = any(each in text for each in _OF_A_PORT)
    is_denied = any(each in text for each in _OF_ACCESS)
    if is_about or (is_denied and ("bind" in text or "listen" in text)):
        return "its port is fixed in its code or in a file of its own"
    return ""


def datagram_trouble(addresses: Iterable[str], told: Collection[int]) -> str:
    """Return that an app has a port of UDP that it is not told; empty if it has none.

    Two programs may share such a port: each would take datagrams of the other.
    """
    others = [
        a for a in addresses if a.startswith(_UDP) and _any_port_of(a) not in told
    ]
    if not others:
        return ""
    return f"its configuration does not say that it listens on {', '.join(others)}"


def _any_port_of(address: str) -> int:
    """Return the port of an address, of UDP too; 0 of a path."""
    return port_of(address.removeprefix(_UDP))


def text_of(report: Mapping[str, Any]) -> str:
    """Return why something failed, with the end of the app's log."""
    tail = " | ".join(report["log_tail"][-6:])
    return f"{report['reason']}" + (f"; its log ends: {tail}" if tail else "")
