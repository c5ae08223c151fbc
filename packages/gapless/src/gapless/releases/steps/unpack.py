"""Unpack a tarball into a new directory; nothing of it is written anywhere else.

A child does that (`releases/unpacking`).  What it has made is looked at by nobody before
it has ended well.
"""

from __future__ import annotations

import os

from gapless.base.errors import ReleaseError
from gapless.base.outside import files as outside
from gapless.base.outside.text import printable
from gapless.releases import paths
from gapless.releases.model import Limits
from gapless.releases.unpacking import filling, process
from gapless.releases.unpacking.process import Unpacked

_BESIDE = ".unpacking"


def unpack(tarball: str, directory: str, limits: Limits, *, name: str = "") -> Unpacked:
    """Unpack *tarball* into the new directory *directory*, its one top folder stripped.

    *name* is that of the upload, if the file has another one by now.
    Raises ReleaseError that names the tarball and the reason, and OSError for what the
    machine could not do, as for a full disk.  *directory* is there only if this returns.
    """
    source = outside.open_regular(tarball)
    try:
        return _unpack(name or os.path.basename(tarball), source, directory, limits)
    finally:
        os.close(source)


def _unpack(name: str, source: int, directory: str, limits: Limits) -> Unpacked:
    beside = f"{directory}{_BESIDE}"
    os.mkdir(beside, 0o755)
    try:
        tree = outside.open_directory(beside)
        try:
            unpacked = process.run(source, limits, tree)
        finally:
            os.close(tree)
        top = filling.top_of(beside)
        os.rename(f"{beside}/{top}" if top else beside, directory)
    except process.IncompleteError as error:
        raise ReleaseError(f"{printable(name)} is broken: {error.message}") from None
    except ReleaseError as error:
        raise ReleaseError(
            f"{printable(name)} was refused: {error.message}", hint=error.hint
        ) from None
    finally:
        paths.remove(beside)
    return unpacked
