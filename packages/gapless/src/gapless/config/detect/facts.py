"""What is known of a directory, and what was found in it: plain values.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PROGRAMS = (
    *("uvicorn", "gunicorn", "hypercorn", "granian", "waitress-serve", "bundle"),
    *("puma", "unicorn", "php", "php-fpm", "starman", "plackup", "bun"),
    *(f"php-fpm{version}" for version in ("8.4", "8.3", "8.2", "8.1", "7.4")),
)
"""Programs that it matters of whether they are in PATH."""
HEAD_BYTES = 1 << 16
"""So much of a file is read."""
_HEALTH = re.compile(
    r"""["'](/(?:healthz?|health[-_]?check|readyz?|livez|ping|up))["']"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A directory."""

    name: str
    """What it is called."""
    files: frozenset[str] = frozenset()
    """Paths of files below it, relative, some levels deep."""
    heads: Mapping[str, str] = field(default_factory=dict)
    """How texts among them begin."""
    binaries: frozenset[str] = frozenset()
    """Those that the kernel executes itself (ELF)."""
    programs: frozenset[str] = frozenset()
    """Which of PROGRAMS are in PATH."""
    port: int = 0
    """The port that is wanted; 0: what such programs usually have."""

    def first(self, candidates: Iterable[str]) -> str:
        """Return the first of some files that is there; empty if none is."""
        return next((each for each in candidates if each in self.files), "")

    def matching(self, pattern: str) -> list[str]:
        """Return the files whose whole path matches, those with short paths first."""
        found = [each for each in self.files if re.fullmatch(pattern, each)]
        return sorted(found, key=lambda each: (each.count("/"), each))

    def head(self, file: str) -> str:
        """Return how a file begins; empty if it is not there."""
        return self.heads.get(file, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of an app's table."""

    text: str
    """The key and its value, in TOML."""
    why: str = ""
    is_active: bool = True
    """Else it is a comment, to be taken in by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An app of a directory."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str | int] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a directory holds."""

    kind: str
    why: str
    """What was seen that says so."""
    apps: tuple[Draft, ...]
    port: str = ""
    """Where the first app listens, in words; empty: it could not be seen."""
    first: tuple[str, ...] = ()
    """Commands that have to come before the app can start."""
    remarks: tuple[str, ...] = ()
    """What could not be seen, or should be known."""


def ready(facts: Facts, files: Iterable[str]) -> Line:
    """Return when an instance is ready: by the health path that a file names."""
    for file in files:
        if found := _HEALTH.search(facts.head(file)):
            return Line(
                text=f'ready = {{ http = "{found[1]}" }}', why=f"{file} names that path"
            )
    return Line(
        text='ready = { http = "/health" }',
        why="if a path says that it can serve; else: it listens",
        is_active=False,
    )


def variables(facts: Facts, *, loads_itself: bool = False) -> tuple[Line, ...]:
    """Return the line about a `.env`, if there is one."""
    if ".env" not in facts.files or loads_itself:
        return ()
    line = 'environment_file = ".env"'
    return (Line(text=line, why="if it does not read .env itself", is_active=False),)
