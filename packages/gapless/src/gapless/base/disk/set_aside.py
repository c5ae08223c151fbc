"""Records that cannot be read: each gets another name beside it, and is not believed.

A record may be cut off, empty, of another program or of a later version, or something else
may lie in its place.  Whoever owns it begins without it; people find it by its new name.
"""

from __future__ import annotations

import errno
import os

from gapless.base import files

ENDING = ".unreadable"
"""How the name of a record ends that was set aside; a number may follow."""
KEPT = 5
"""So many of one name; after that the last one is replaced."""
_FOREIGN = (
    *(errno.EINVAL, errno.ELOOP, errno.EISDIR, errno.ENOTDIR),
    *(errno.ENXIO, errno.ENODEV, errno.EPERM),
)
"""Met at what no record of ours is: a directory, a link, a FIFO, another user's file."""


def is_foreign(error: OSError) -> bool:
    """Return whether an error says what lies there, and not that it cannot be read now."""
    return error.errno in _FOREIGN


def set_aside(path: str) -> str:
    """Give a record another name, durably; return that, or nothing if it has to stay."""
    for number in range(1, KEPT + 1):
        new = f"{path}{ENDING}" + f".{number}" * (number > 1)
        if number < KEPT and os.path.lexists(new):
            continue
        try:
            files.rename(path, new)
        except OSError:
            return ""
        return new
    return ""


def found_in(directory: str) -> list[str]:
    """Return the paths of the records that were set aside in a directory."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    return [f"{directory}/{name}" for name in names if is_set_aside(name)]


def is_set_aside(name: str) -> bool:
    """Return whether a name is that of a record that was set aside."""
    whole, _, number = name.rpartition(ENDING)
    return bool(whole) and (not number or number.removeprefix(".").isdigit())
