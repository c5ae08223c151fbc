"""The record in a version file of the directory coordinator: JSON with a checksum."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from gapless.coordinator import decoding, model

FORMAT = 1
MOST_BYTES = 8 * model.LARGEST_VALUE_BYTES
"""Of a file: JSON writes a byte in six characters at most."""


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
    found = decoding.decode(decoding.Format, content, MOST_BYTES).format
    if found != FORMAT:
        raise ValueError(f"its format is {found}, not {FORMAT}")
    file = decoding.decode(decoding.VersionFile, content, MOST_BYTES)
    record = VersionRecord(nonce=file.nonce, after=file.after, value=file.value)
    if file.value is not None and any(character > "\xff" for character in file.value):
        raise ValueError("value: a character is no byte")
    if file.sha256 != _checksum(number, record):
        raise ValueError("its checksum is wrong")
    return record


def _checksum(number: int, record: VersionRecord) -> str:
    """Return the SHA-256 of a version number and its record."""
    plain = json.dumps([number, record.nonce, record.after, record.value])
    return hashlib.sha256(plain.encode()).hexdigest()
