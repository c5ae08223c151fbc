"""Ask a balancer while a server behind it drains, and judge its settings by the answers."""

from __future__ import annotations

import http.client
import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import SplitResult

HEADER = "Gapless-Drain"
AT_ONCE = 4
TRIES = 24
"""Enough that of four servers each is asked, whichever way the balancer chooses."""
LATE_S = 0.15
SMALL_BYTES, LARGE_BYTES = 2_000, 200_000
TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request."""

    name: str
    method: str
    size_bytes: int = 0
    is_late: bool = False
    """Its body comes a moment after its head."""


KINDS = (
    Kind("GET", "GET"),
    Kind("POST", "POST", SMALL_BYTES),
    Kind("POST with a late body", "POST", SMALL_BYTES, is_late=True),
    Kind("large POST", "POST", LARGE_BYTES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of the requests of one kind."""

    kind: Kind
    asked: int
    refused: int = 0
    """A server's refusal reached the client."""
    failed: int = 0
    """Another 5xx, or no answer."""
    unanswered: int = 0
    """Of these, the balancer said nothing for long."""
    example: str = ""


def is_draining(where: SplitResult) -> bool:
    """Tell whether a server itself refuses requests as gapless does.  Raises OSError."""
    status, header, _ = _ask(where, KINDS[0])
    return status == 503 and header


def ask_all(where: SplitResult) -> Iterator[Tally]:
    """Send requests of each kind, some at once; yield what became of them.

    One that asks alone would see a balancer go round in order, and find each server.
    """
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for kind in KINDS:
            tally = Tally(kind=kind, asked=0)
            while tally.asked < TRIES and not tally.unanswered:
                asked = threads.map(lambda _: _fate(where, kind), range(AT_ONCE))  # noqa: B023 - used up before the next kind
                for fate in asked:
                    tally = _plus(tally, fate)
            yield tally
            if tally.unanswered:
                return  # each of the others would take as long


def _fate(where: SplitResult, kind: Kind) -> Tally:
    """Return what became of one request."""
    try:
        status, by_drain, reason = _ask(where, kind)
    except (OSError, http.client.HTTPException) as error:
        return Tally(
            kind=kind,
            asked=1,
            failed=1,
            unanswered=int(isinstance(error, TimeoutError)),
            example=f"{type(error).__name__}: {error}",
        )
    failed = status >= 500 and not by_drain
    return Tally(
        kind=kind,
        asked=1,
        refused=int(by_drain),
        failed=int(failed),
        example=f"{status} {reason}" if failed else "",
    )


def _plus(one: Tally, other: Tally) -> Tally:
    return Tally(
        kind=one.kind,
        asked=one.asked + other.asked,
        refused=one.refused + other.refused,
        failed=one.failed + other.failed,
        unanswered=one.unanswered + other.unanswered,
        example=one.example or other.example,
    )


def _ask(where: SplitResult, kind: Kind) -> tuple[int, bool, str]:
    """Send one request; return the status, whether a drain refused it, the reason."""
    is_https = where.scheme == "https"
    kinds = (http.client.HTTPConnection, http.client.HTTPSConnection)
    connection = kinds[is_https](where.netloc, timeout=TIMEOUT_S)
    body = b"x" * kind.size_bytes
    try:
        connection.putrequest(kind.method, where.path or "/")
        connection.putheader("User-Agent", "gapless balancer check")
        if kind.method == "POST":
            connection.putheader("Content-Type", "application/octet-stream")
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        if body:
            if kind.is_late:
                select.select([], [], [], LATE_S)
            connection.send(body)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader(HEADER) is not None, answer.reason
    finally:
        connection.close()


def later_findings(tallies: list[Tally]) -> list[str]:
    """Return what is wrong if a second server drains right after a first.  Pure."""
    if not any(tally.failed or tally.refused for tally in tallies):
        return []
    failed = sum(tally.failed + tally.refused for tally in tallies)
    asked = sum(tally.asked for tally in tallies)
    return [
        f"a server that refused counts as broken when it serves again: {failed} of "
        f"{asked} failed as the next one drained: nginx: max_fails=0 on each server, "
        "and a zone; HAProxy: no `observe layer7`"
    ]


def findings(tallies: list[Tally]) -> list[str]:
    """Return which settings are wrong, and what would be right.  Pure."""
    by_name = {tally.kind.name: tally for tally in tallies}
    refused = {name for name, tally in by_name.items() if tally.refused}
    found = []
    if "GET" in refused:
        found.append(
            "a refusal is not sent to another server, or not often enough: "
            "nginx: proxy_next_upstream http_503, and at least two servers; "
            "HAProxy: retry-on 503, option redispatch 1, retries 12 or more"
        )
    elif {"POST", "POST with a late body", "large POST"} <= refused:
        found.append(
            "POST is not sent to another server: "
            "nginx: non_idempotent in the place where 503 is tried again, and "
            "proxy_request_buffering on; HAProxy: option http-buffer-request"
        )
    elif "POST with a late body" in refused:
        found.append(
            "a body that comes after its head is not sent to another server: "
            "HAProxy: option http-buffer-request; nginx: proxy_request_buffering on"
        )
    elif "large POST" in refused:
        found.append(
            f"a body of {LARGE_BYTES >> 10} KiB is not sent to another server: "
            "HAProxy: tune.bufsize larger than the largest body; "
            "nginx: proxy_request_buffering on"
        )
    silent = [tally.kind.name for tally in tallies if tally.unanswered]
    if silent and silent != ["GET"]:
        found.append(
            f"{silent[0]}: the balancer waits for a body that it has sent already: "
            "nginx: proxy_request_buffering on"
        )
        return found
    found += [
        f"{tally.kind.name}: {tally.failed} of {tally.asked} failed otherwise "
        f"({tally.example}): nginx: max_fails=0 on each server, else a refusal "
        "counts as a failure; HAProxy: no `observe layer7`"
        for tally in tallies
        if tally.failed
    ]
    return found
