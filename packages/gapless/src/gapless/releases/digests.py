"""SHA-256 of files."""

from __future__ import annotations

import hashlib


def sha256_of(path: str) -> str:
    """Return the SHA-256 of a file, in hexadecimal.  Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
