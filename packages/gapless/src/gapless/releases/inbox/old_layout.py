"""What earlier versions wrote below src/, where uploaders may write: read with distrust.

Rule 1: each directory is opened from the one above; no link is followed.
Rule 2: only a file of the publisher's own user, or of root, is read: they wrote it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from gapless.base.outside import files
from gapless.releases.inbox import opened

OUTCOMES, REFUSED = ".outcomes", "refused"
MOST_BYTES = 256 << 10


def names(inbox: str, folder: str) -> list[str]:
    """Return the names in a folder of an inbox; none if it cannot be read."""
    try:
        with _folder(inbox, folder) as held:
            return os.listdir(held)
    except OSError:
        return []


def read(inbox: str, folder: str, name: str) -> bytes | None:
    """Return a file in a folder of an inbox; None if it is not there, or not ours."""
    try:
        with _folder(inbox, folder) as held:
            descriptor = files.open_regular(name, dir_fd=held)
            with open(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                is_ours = found.st_uid in (os.geteuid(), 0) and found.st_nlink == 1
                return file.read(MOST_BYTES) if is_ours else None
    except OSError:
        return None


@contextmanager
def _folder(inbox: str, folder: str) -> Iterator[int]:
    with opened.directory(inbox) as above:
        held = files.open_directory(folder, dir_fd=above)
        try:
            yield held
        finally:
            os.close(held)
