"""The contract of every coordinator; tests/contract checks each of them against it.

Rule 1: a version of a key is never used twice, not even after the key was removed.  It is
the fence that makes a late writer harmless.
Rule 2: of two writers that expect the same version at most one succeeds.
Rule 3: a record that cannot be verified is reported and ignored, never trusted.
Rule 4: clocks of two hosts are never compared.  A host finds out whether another one is
alive by watching its versions change, on its own clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gapless.base.errors import ConflictError, MisuseError

ABSENT = 0
"""The version of a key that does not exist."""
LARGEST_VALUE_BYTES = 256 << 10
LONGEST_KEY = 200
MOST_KEYS = 20_000
"""Below one prefix: each is a host, a slot or a rollout."""
MOST_BYTES = 64 << 20
"""Of all values below one prefix."""
_PIECE = r"[A-Za-z0-9@_+-][A-Za-z0-9@_. +:-]*"
_KEY = re.compile(rf"{_PIECE}(?:/{_PIECE})*")


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a key, with its version."""

    version: int
    value: bytes


class Coordinator(Protocol):
    """Every method raises UnavailableError if the coordinator cannot be asked."""

    def read(self, key: str) -> Entry | None:
        """Return the entry of a key; None if the key does not exist."""

    def read_all(self, prefix: str) -> dict[str, Entry]:
        """Return every key below `prefix/`."""

    def write(self, key: str, value: bytes, *, expected: int) -> Entry:
        """Write if the version is still the expected one.  Raises ConflictError."""

    def remove(self, key: str, *, expected: int) -> None:
        """Remove if the version is still the expected one.  Raises ConflictError."""

    def wait(
        self, prefix: str, seen: Mapping[str, int], timeout_s: float
    ) -> dict[str, Entry]:
        """Return every key below `prefix/` as soon as the versions differ from *seen*.

        After *timeout_s* the keys are returned all the same.
        """

    def close(self) -> None:
        """Close files and connections."""


def is_key(key: str) -> bool:
    """Return whether a text can be a key."""
    return len(key) <= LONGEST_KEY and _KEY.fullmatch(key) is not None


def check_key(key: str) -> str:
    """Return a key, if it is a valid one.  Raises MisuseError."""
    if not is_key(key):
        raise MisuseError(
            f"{key!r} cannot be a key",
            hint="names of letters, digits and _ . : @ + -, with / in between",
        )
    return key


def check_value(key: str, value: bytes) -> bytes:
    """Return a value, if it is not too large.  Raises MisuseError."""
    if len(value) > LARGEST_VALUE_BYTES:
        raise MisuseError(
            f"{key}: {len(value)} bytes are more than {LARGEST_VALUE_BYTES}"
        )
    return value


def conflict(key: str, expected: int, found: int) -> ConflictError:
    """Return the error of a writer that expected another version."""
    return ConflictError(
        f"{key} is at version {found}, not {expected}: another writer was first"
    )


def versions(entries: Mapping[str, Entry]) -> dict[str, int]:
    """Return the version of each key, as `wait` compares them."""
    return {key: entry.version for key, entry in entries.items()}
