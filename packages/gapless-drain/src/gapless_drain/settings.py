"""The settings of a drain, and what a refusal consists of."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

HEADER = "Gapless-Drain"
BODY = b"this process is about to end: send the request to another one\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a drain behaves."""

    status: int = 503
    """Of a refusal."""
    retry_after_s: int = 1
    health_path: str | None = None
    """Answers `health_status` as soon as the process is leaving."""
    health_status: int = 503
    lead_s: float = 0.0
    """On a signal: how long the health path says no before requests are refused."""
    drain_timeout_s: float = 30.0
    """How long a signal is held back at most."""
    on_signal: Literal["recycle", "handoff"] | None = "recycle"
    discard_bytes: int = 16 << 20
    """How much of the body of a refused request is read at most."""
    discard_s: float = 10.0
    """For how long it is read at most."""

    def headers(self, mode: str) -> list[tuple[str, str]]:
        """Return the headers of a refusal, without `Connection`."""
        return [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(BODY))),
            ("Retry-After", str(self.retry_after_s)),
            ("Cache-Control", "no-store"),
            (HEADER, mode),
        ]


def status_line(status: int) -> str:
    """Return a status with its phrase, as WSGI wants it."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Draining"
