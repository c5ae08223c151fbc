"""The record in a version file of the directory coordinator: JSON with a checksum."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRecord:
    """One version of a key."""

    nonce: str
    """Random, so that a writer recognizes its own record."""
    after: str
    """The nonce of the version before."""
    value: str | None
    """Each byte as one character; None: the key was removed."""


def encode(number: int, record: VersionRecord) -> bytes:
    """Return a record as the content of the file of that version number."""
    plain = {
        "format": FORMAT,
        "sha256": _checksum(number, record),
        "nonce": record.nonce,
        "after": record.after,
        "value": record.value,
    }
    return json.dumps(plain).encode()


def decode(number: int, content: bytes) -> VersionRecord:
    """Return the record of a version file.  Raises ValueError with the reason."""
    try:
        plain = json.loads(content)
        found = plain["format"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("it is no record") from None
    if found != FORMAT:
        raise ValueError(f"its format is {found!r}, not {FORMAT}")
    try:
        checksum, value = plain["sha256"], plain["value"]
        record = VersionRecord(nonce=plain["nonce"], after=plain["after"], value=value)
    except KeyError:
        raise ValueError("it is no record") from None
    if checksum != _checksum(number, record):
        raise ValueError("its checksum is wrong")
    return record


def _checksum(number: int, record: VersionRecord) -> str:
    """Return the SHA-256 of a version number and its record."""
    plain = json.dumps([number, record.nonce, record.after, record.value])
    return hashlib.sha256(plain.encode()).hexdigest()
