"""The contract that every coordinator keeps; tests/contract has it as a suite.

Rule 1: a version is never used twice for a key, not even after the key was removed: it
is the fence that makes a late writer harmless.
Rule 2: of two writers that expect the same version at most one succeeds.
Rule 3: what cannot be verified is named and ignored, never trusted.
Clocks are never compared: whoever wants to know whether another one lives watches its
versions change, on his own clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gapless.base.errors import ConflictError, MisuseError

ABSENT = 0
"""The version of a key that is not there."""
LARGEST_VALUE_BYTES = 256 << 10
_PIECE = r"[A-Za-z0-9@_+-][A-Za-z0-9@_. +:-]*"
_KEY = re.compile(rf"{_PIECE}(?:/{_PIECE})*")


@dataclass(frozen=True, slots=True)
class Entry:
    """A value, and the version that it is."""

    version: int
    value: bytes


class Coordinator(Protocol):
    """Every method raises UnavailableError if the coordinator cannot be asked."""

    def read(self, key: str) -> Entry | None:
        """Return what is there, None if nothing is."""

    def read_all(self, prefix: str) -> dict[str, Entry]:
        """Return every key below `prefix/`."""

    def write(self, key: str, value: bytes, *, expected: int) -> Entry:
        """Write if the version is still the expected one.  Raises ConflictError."""

    def remove(self, key: str, *, expected: int) -> None:
        """Remove if the version is still the expected one.  Raises ConflictError."""

    def wait(
        self, prefix: str, seen: Mapping[str, int], timeout_s: float
    ) -> dict[str, Entry]:
        """Return every key below `prefix/` as soon as the versions are not as *seen*.

        After *timeout_s* what is there is returned all the same.
        """

    def close(self) -> None:
        """Let go of files and connections."""


def check_key(key: str) -> str:
    """Return a key that can be one.  Raises MisuseError."""
    if _KEY.fullmatch(key) is None or len(key) > 200:
        raise MisuseError(
            f"{key!r} cannot be a key",
            hint="names of letters, digits and _ . : @ + -, with / in between",
        )
    return key


def check_value(key: str, value: bytes) -> bytes:
    """Return a value that is not too large.  Raises MisuseError."""
    if len(value) > LARGEST_VALUE_BYTES:
        raise MisuseError(
            f"{key}: {len(value)} bytes are more than {LARGEST_VALUE_BYTES}"
        )
    return value


def conflict(key: str, expected: int, found: int) -> ConflictError:
    """Return the error of who was too late."""
    return ConflictError(
        f"{key} is at version {found}, not {expected}: somebody else wrote first"
    )


def versions(entries: Mapping[str, Entry]) -> dict[str, int]:
    """Return what `wait` compares."""
    return {key: entry.version for key, entry in entries.items()}
