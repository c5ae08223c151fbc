"""The result of reading one file."""

from __future__ import annotations

from dataclasses import dataclass

from gapless.releases.model import ReleaseSpec
from gapless.supervisor.memory.spec import AppSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The apps and the releases that a file declares."""

    path: str
    """Absolute; "-" for standard input, empty for a command line."""
    apps: dict[str, AppSpec]
    releases: dict[str, ReleaseSpec]
    warnings: tuple[str, ...] = ()
