"""Tarballs: how their names end, and whether one can be read to its end."""

from __future__ import annotations

import tarfile
import zlib
from lzma import LZMAError

ENDINGS = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
BROKEN = (tarfile.TarError, EOFError, zlib.error, LZMAError, ValueError)
"""What tarfile raises for a broken archive; an OSError without errno is another."""


def ending_of(name: str) -> str:
    """Return the ending by which a name is that of a tarball; empty if it is not."""
    return next((ending for ending in ENDINGS if name.endswith(ending)), "")


def read_to_end(source: str | int) -> None:
    """Read every member of a tarball, of a path or a descriptor.

    Raises OSError and the errors in `BROKEN`.
    """
    with (
        open(source, "rb", closefd=isinstance(source, str)) as file,
        tarfile.open(fileobj=file, mode="r:*") as archive,
    ):
        for _ in archive:
            pass
