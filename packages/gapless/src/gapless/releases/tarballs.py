"""Tarballs: how their names end, and whether one can be read to its end."""

from __future__ import annotations

import os
import tarfile

from gapless.base.errors import ReleaseError
from gapless.base.outside import files as outside
from gapless.releases.model import Limits
from gapless.releases.unpacking import process

ENDINGS = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
BROKEN = (process.IncompleteError,)
"""What `read_to_end` raises for an archive of which more may come."""


def ending_of(name: str) -> str:
    """Return the ending by which a name is that of a tarball; empty if it is not."""
    return next((ending for ending in ENDINGS if name.endswith(ending)), "")


def names_of(path: str) -> list[str]:
    """Return the names of the files in one's own tarball, which can be read to its end.

    Raises ReleaseError, OSError.
    """
    try:
        with tarfile.open(path, "r:*") as archive:
            return [member.name for member in archive if member.isfile()]
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise ReleaseError(f"its members cannot be listed: {error}") from error


def read_to_end(source: str | int, limits: Limits | None = None) -> None:
    """Read every member of a tarball, of a path or a descriptor, in a child of its own.

    One that no release may come from (a link out, too many files) is whole all the same:
    who unpacks it says why it is refused.  Raises the errors in `BROKEN`, and OSError.
    """
    descriptor = outside.open_regular(source) if isinstance(source, str) else source
    try:
        process.run(descriptor, limits or Limits())
    except process.IncompleteError:
        raise
    except ReleaseError:
        return
    finally:
        if isinstance(source, str):
            os.close(descriptor)
