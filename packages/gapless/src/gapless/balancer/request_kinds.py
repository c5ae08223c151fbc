"""The kinds of requests with which a balancer is checked, and their counts.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

SMALL_BYTES, LARGE_BYTES = 2_000, 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKind:
    """One kind of request."""

    name: str
    method: str
    size_bytes: int = 0
    is_late: bool = False
    """Its body is sent a moment after its head."""


KINDS = (
    RequestKind(name="GET", method="GET"),
    RequestKind(name="POST", method="POST", size_bytes=SMALL_BYTES),
    RequestKind(
        name="POST with a late body",
        method="POST",
        size_bytes=SMALL_BYTES,
        is_late=True,
    ),
    RequestKind(name="large POST", method="POST", size_bytes=LARGE_BYTES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCounts:
    """How the requests of one kind ended."""

    kind: RequestKind
    sent: int
    refused: int = 0
    """The client got the refusal of a server."""
    failed: int = 0
    """The client got another 5xx, or no answer."""
    unanswered: int = 0
    """Failed, because no answer came in time."""
    slow: int = 0
    """Answered, but later than an app should need and than a balancer may wait in vain."""
    too_large: int = 0
    """Failed, because the balancer takes no such body."""
    example: str = ""
    """The first failure."""

    def plus(self, other: RequestCounts) -> RequestCounts:
        """Return the sums of these and other requests of the same kind."""
        return RequestCounts(
            kind=self.kind,
            sent=self.sent + other.sent,
            refused=self.refused + other.refused,
            failed=self.failed + other.failed,
            unanswered=self.unanswered + other.unanswered,
            slow=self.slow + other.slow,
            too_large=self.too_large + other.too_large,
            example=self.example or other.example,
        )
