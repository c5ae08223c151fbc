"""Debian's kernels that the machines boot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One kernel of Debian's archive."""

    name: str
    """What `make vm K=...` calls it."""
    suite: str
    """Where it comes from; empty: the release of Debian that the machines have."""
    package: str = "linux-image-cloud-amd64"


KERNELS = (
    Kernel(name="stable", suite=""),
    Kernel(name="newest", suite="trixie-backports"),
)
