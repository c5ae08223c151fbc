"""What became of requests: each one, and the sums."""

from __future__ import annotations

from dataclasses import dataclass, field

from rig.load.fates import ANSWERED


@dataclass(slots=True)
class Request:
    """One request, and what became of it."""

    number: int
    kind: str
    began: float
    fate: str = ""
    """One of `rig.load.fates.FATES`."""
    detail: str = ""
    client: int = 0
    """Which of the clients of the load has sent it."""
    due: float = 0.0
    """When it was to be sent: it may have had to wait for the answer before it."""
    reused: bool = False
    closes: bool = False
    """Its answer was the last one on its connection."""
    closed_idle: bool = False
    """The server had closed the connection before this one without saying so."""
    ended: float = 0.0
    status: int = 0
    version: str = ""
    """The release that answered."""
    instance: str = ""
    """The header X-Instance of the answer, else the pid in its body."""


@dataclass(slots=True)
class Report:
    """The sums of a load."""

    requests: int = 0
    fates: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, dict[str, float]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    losses: list[dict[str, object]] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """How many requests had another fate than `ANSWERED`."""
        return self.requests - self.fates.get(ANSWERED, 0)

    def __str__(self) -> str:
        lines = [
            f"{'traffic':<12}{'requests':>9}{'lost':>6}{'p50 ms':>9}{'p99 ms':>9}"
            f"{'opened':>8}"
        ]
        lines += [
            f"{kind:<12}{row['requests']:>9.0f}{row['lost']:>6.0f}"
            f"{row['p50_ms']:>9.1f}{row['p99_ms']:>9.1f}{row['connections']:>8.0f}"
            for kind, row in self.kinds.items()
        ]
        lines.append(f"fates {self.fates} versions {self.versions}")
        lines += [f"lost: {loss}" for loss in self.losses[:10]]
        return "\n".join(lines)
