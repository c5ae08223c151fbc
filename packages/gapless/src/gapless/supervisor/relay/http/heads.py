"""The heads of HTTP/1 requests and answers: judged with h11, changed as little as can be.

Only `Connection` changes: the exchange is the last one of its connection (RFC 9112, 9.6).
All other bytes are passed on as they came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import h11

LARGEST_HEAD_BYTES = 16 << 10
MOST_LINES = 200
_END = re.compile(rb"\r?\n\r?\n")
_HOP_BY_HOP = re.compile(
    rb"(?:connection|keep-alive|proxy-connection)[ \t]*:", re.IGNORECASE
)
_METHOD = re.compile(rb"[A-Z][A-Z-]{0,31}(?: |$)")
_FOLDED = re.compile(rb"\n[ \t]")
_OF_THE_CONNECTION = (b"ntlm", b"negotiate")
"""Schemes that authenticate a connection and not a request (RFC 4559)."""


class Verdict(Enum):
    """What the bytes at the start of a request are."""

    REQUEST = "request"  #: the whole head of a request that can be relayed
    PARTIAL = "partial"  #: the beginning of one
    FOREIGN = "foreign"  #: something else: TLS, HTTP/2, a websocket's frame


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request."""

    raw: bytes
    request: h11.Request
    body_bytes: int | None
    """How long its body is; None: chunked, and not known."""
    expects: bool
    """Its client waits for `100 Continue` before it sends the body."""
    upgrades: bool
    """It asks for another protocol on its connection."""


def judge(waiting: bytes) -> tuple[Verdict, Head | None]:
    """Return what the bytes are that wait on a connection, and the head if it is whole."""
    if not _METHOD.match(waiting):
        return Verdict.FOREIGN, None
    end = _END.search(waiting)
    if end is None:
        too_long = len(waiting) >= LARGEST_HEAD_BYTES
        return (Verdict.FOREIGN if too_long else Verdict.PARTIAL), None
    raw = waiting[: end.end()]
    if raw.count(b"\n") > MOST_LINES:
        return Verdict.FOREIGN, None
    head = _parse(raw)
    return (Verdict.FOREIGN, None) if head is None else (Verdict.REQUEST, head)


def _parse(raw: bytes) -> Head | None:
    """Return a request's head; None if it is not one that can be relayed."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD_BYTES)
    parser.receive_data(raw)
    try:
        request = parser.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(request, h11.Request) or _FOLDED.search(raw):
        return None
    if request.method == b"CONNECT" or request.http_version not in (b"1.0", b"1.1"):
        return None
    lengths = [v for k, v in request.headers if k == b"content-length"]
    chunked = any(k == b"transfer-encoding" for k, _ in request.headers)
    if chunked and (lengths or request.http_version == b"1.0"):
        return None  # two programs may take its end to be in two places
    for name, value in request.headers:
        if name == b"authorization" and value.lower().startswith(_OF_THE_CONNECTION):
            return None
    return Head(
        raw=raw,
        request=request,
        body_bytes=None if chunked else int(lengths[0]) if lengths else 0,
        expects=any(k == b"expect" for k, _ in request.headers),
        upgrades=any(k == b"upgrade" for k, _ in request.headers),
    )


def end_of_head(received: bytes) -> int:
    """Return how long the head is that bytes begin with; 0 if its end is not there yet."""
    end = _END.search(received)
    return end.end() if end else 0


def status_of(head: bytes) -> int:
    """Return the status code of an answer's head, 0 if it has none."""
    found = re.match(rb"HTTP/1\.[01] (\d\d\d)", head)
    return int(found[1]) if found else 0


def as_the_last(head: bytes) -> bytes:
    """Return a head that says that its exchange is the last one of its connection.

    One with folded lines stays as it is: a line of it may belong to `Connection`.
    """
    if _FOLDED.search(head):
        return head
    lines = head.split(b"\n")
    ending = b"\r" if lines[0].endswith(b"\r") else b""
    kept = [line for line in lines[:-2] if not _HOP_BY_HOP.match(line)]
    return b"\n".join([*kept, b"Connection: close" + ending, *lines[-2:]])
