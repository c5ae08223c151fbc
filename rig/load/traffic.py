"""What a load consists of, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

ANSWERED = "answered"
FATES = (
    ANSWERED,
    "refused",
    "reset",
    "closed",  # without an answer
    "truncated",
    "status",
    "time-out",
    "wrong",  # not the body that was to be expected, or no HTTP
    "unreachable",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One kind of traffic: *concurrency* clients that each do the same over and over."""

    kind: str
    concurrency: int = 1
    method: str = "GET"
    path: str = "/"
    body_bytes: int = 0
    body_s: float = 0.0
    """Over how many seconds the body trickles."""
    keep_alive: bool = False
    pause_s: float = 0.0
    timeout_s: float = 15.0
    echoes: bool = False
    """The answer has to hold exactly the body that was sent."""
    answer_bytes: int | None = None
    expected: tuple[int, ...] = (200,)


NEW = Traffic(kind="new", concurrency=4)
POST = Traffic(
    kind="post",
    concurrency=2,
    method="POST",
    path="/echo",
    body_bytes=20_000,
    echoes=True,
)
KEEP_ALIVE = Traffic(kind="keep-alive", concurrency=4, keep_alive=True)
SLOW = Traffic(kind="slow", concurrency=2, path="/slow?s=0.5")
SLOW_BODY = Traffic(
    kind="slow-body",
    method="POST",
    path="/echo",
    body_bytes=8_000,
    body_s=0.5,
    echoes=True,
)


def mixed(clients: int = 3, pause_s: float = 0.002) -> tuple[Traffic, ...]:
    """Return new connections, kept ones, and POSTs, each from so many clients."""
    return tuple(
        replace(traffic, concurrency=clients, pause_s=pause_s)
        for traffic in (NEW, KEEP_ALIVE, POST)
    )


@dataclass(slots=True)
class Request:
    """What became of one request."""

    number: int
    kind: str
    began: float
    fate: str = ""
    detail: str = ""
    reused: bool = False
    ended: float = 0.0
    status: int = 0
    version: str = ""
    instance: str = ""
    """Who answered: the header X-Instance, else the pid that the body tells."""


@dataclass(slots=True)
class Report:
    """What the load met."""

    requests: int = 0
    fates: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, dict[str, float]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    losses: list[dict[str, object]] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """How many requests were not answered as they had to be."""
        return self.requests - self.fates.get(ANSWERED, 0)

    def __str__(self) -> str:
        lines = [f"{'traffic':<12}{'requests':>9}{'lost':>6}{'p50 ms':>9}{'p99 ms':>9}"]
        lines += [
            f"{kind:<12}{row['requests']:>9.0f}{row['lost']:>6.0f}"
            f"{row['p50_ms']:>9.1f}{row['p99_ms']:>9.1f}"
            for kind, row in self.kinds.items()
        ]
        lines.append(f"fates {self.fates} versions {self.versions}")
        lines += [f"lost: {loss}" for loss in self.losses[:10]]
        return "\n".join(lines)
