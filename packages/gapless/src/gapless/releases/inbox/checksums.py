"""Checksum files: what `sha256sum` prints, beside an upload."""

from __future__ import annotations

import os

from gapless.base.outside import files
from gapless.releases.inbox import opened

ENDINGS = (".sha256", ".sha256sum")
"""A checksum file has the name of its upload and one of these endings."""
MOST_BYTES = 64 << 10
_DIGITS = 64


def expected(path: str) -> tuple[str, str] | None:
    """Return the name of the checksum file of an upload, and the SHA-256 in it.

    None if there is none.  Raises OSError if it cannot be read: it is a link or a pipe, or
    has more than `MOST_BYTES`.
    """
    folder, name = os.path.split(path)
    with opened.directory(folder) as held:
        for ending in ENDINGS:
            try:
                content = files.read(name + ending, MOST_BYTES, dir_fd=held)
            except FileNotFoundError:
                continue
            return name + ending, _digest(content)
    return None


def _digest(content: bytes) -> str:
    """Return the first word of a checksum file, in small letters."""
    words = content.decode("ascii", errors="replace").split(maxsplit=1)
    return words[0].lower()[: _DIGITS + 1] if words else ""


def remove_own(path: str, sha256: str) -> None:
    """Remove the checksum files of an upload that is gone; those of the next one stay.

    Raises OSError.
    """
    folder, name = os.path.split(path)
    with opened.directory(folder) as held:
        for ending in ENDINGS:
            try:
                content = files.read(name + ending, MOST_BYTES, dir_fd=held)
            except OSError:
                continue  # there is none, or it is none
            if _digest(content) == sha256:
                os.unlink(name + ending, dir_fd=held)
