"""Send requests to a balancer while a server behind it drains, and count their ends."""

from __future__ import annotations

import http.client
import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import SplitResult

from gapless.balancer.request_kinds import KINDS, RequestCounts, RequestKind
from gapless.base import clock

HEADER = "Gapless-Drain"
"""The header by which a refusal of a server that drains is known."""
AT_ONCE = 4
REQUESTS = 24
"""Of each kind: enough to reach each of four servers, however the balancer chooses."""
LATE_S = 0.15
TIMEOUT_S = 15.0
SLOW_S = 7.0
"""Three times the connect time-out that `gapless balancer` writes, and then some."""
TOO_LARGE = 413


def is_draining(url: SplitResult) -> bool:
    """Return whether a server refuses requests as one that drains.  Raises OSError."""
    status, is_refusal, _ = _send(url, KINDS[0])
    return status == 503 and is_refusal


def send_all(url: SplitResult) -> Iterator[RequestCounts]:
    """Send requests of each kind, some at once; yield the counts of each kind.

    With one request at a time, a balancer that goes through its servers in order would
    always find one that serves.
    """
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for kind in KINDS:
            counts = RequestCounts(kind=kind, sent=0)
            while counts.sent < REQUESTS and not counts.unanswered:
                ends = threads.map(lambda _: _count(url, kind), range(AT_ONCE))  # noqa: B023 - used up before the next kind
                for end in ends:
                    counts = counts.plus(end)
            yield counts
            if counts.unanswered:
                return  # each of the others would take as long


def _count(url: SplitResult, kind: RequestKind) -> RequestCounts:
    """Send one request; return how it ended."""
    began = clock.monotonic()
    try:
        status, is_refusal, reason = _send(url, kind)
    except (OSError, http.client.HTTPException) as error:
        return RequestCounts(
            kind=kind,
            sent=1,
            failed=1,
            unanswered=int(isinstance(error, TimeoutError)),
            example=f"{type(error).__name__}: {error}",
        )
    has_failed = (status >= 500 and not is_refusal) or status == TOO_LARGE
    return RequestCounts(
        kind=kind,
        sent=1,
        refused=int(is_refusal),
        failed=int(has_failed),
        slow=int(clock.monotonic() - began > SLOW_S),
        too_large=int(status == TOO_LARGE),
        example=f"{status} {reason}" if has_failed else "",
    )


def _send(url: SplitResult, kind: RequestKind) -> tuple[int, bool, str]:
    """Send one request; return the status, whether a drain refused it, the reason."""
    is_https = url.scheme == "https"
    connections = (http.client.HTTPConnection, http.client.HTTPSConnection)
    connection = connections[is_https](url.netloc, timeout=TIMEOUT_S)
    body = b"x" * kind.size_bytes
    try:
        connection.putrequest(kind.method, url.path or "/")
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
