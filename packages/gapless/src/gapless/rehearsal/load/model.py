"""What a load consists of, and what became of each request."""

from __future__ import annotations

from dataclasses import dataclass

ANSWERED = "answered"
REFUSED, RESET, CLOSED = "refused", "reset", "closed"
TRUNCATED, TIMED_OUT = "truncated", "timed out"
NO_HTTP, UNREACHABLE = "no HTTP", "unreachable"
STATUS = "status"
"""Complete, and a status of 500 to 599 that the app did not give before."""
KEPT, NEW, SLOW = "keep-alive", "new", "slow POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One kind of requests: *clients* clients that each send one after the other."""

    kind: str
    clients: int
    paths: tuple[str, ...]
    """They are asked in turn."""
    every_s: float
    """Each client's requests are due at this distance, whenever their answers come."""
    timeout_s: float = 15.0
    headers: tuple[tuple[str, str], ...] = ()
    """Fields besides those of each request; a Host stands for the usual one."""
    body: bytes = b""
    """Of a POST; empty: a GET."""
    body_s: float = 0.0
    """Over how many seconds the body is sent."""

    @property
    def is_kept(self) -> bool:
        """Whether a client sends its requests on one connection."""
        return self.kind == KEPT

    @property
    def method(self) -> str:
        """The method of its requests."""
        return "POST" if self.body else "GET"


@dataclass(slots=True, kw_only=True)
class Request:
    """One request, and what became of it.  Times are on CLOCK_MONOTONIC."""

    number: int
    kind: str
    path: str
    began: float
    due: float
    """When it was to be sent: it may have had to wait for the answer before it."""
    is_reused: bool
    """The connection had answered a request before."""
    fate: str = ""
    detail: str = ""
    status: int = 0
    ended: float = 0.0

    @property
    def took_s(self) -> float:
        """How long its client waited, from when it was due."""
        return self.ended - self.due


def mixed(
    paths: tuple[str, ...],
    post: str,
    rate: float,
    headers: tuple[tuple[str, str], ...] = (),
) -> tuple[Traffic, ...]:
    """Return kept connections, new ones, and slow POSTs to *post* if that is not empty.

    *rate* is how many GETs a second all of their clients send together.
    """
    kept, new = 4, 3
    every_s = (kept + new) / rate
    found = (
        Traffic(kind=KEPT, clients=kept, paths=paths, every_s=every_s, headers=headers),
        Traffic(kind=NEW, clients=new, paths=paths, every_s=every_s, headers=headers),
    )
    if not post:
        return found
    slow = Traffic(
        kind=SLOW,
        clients=2,
        paths=(post,),
        every_s=1.0,
        headers=headers,
        body=b"0123456789abcde\n" * 256,
        body_s=0.5,
    )
    return (*found, slow)
