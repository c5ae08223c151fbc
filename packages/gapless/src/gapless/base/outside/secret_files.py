"""Files that hold a password or a private key: refused where others may have them.

Rule: the owner is this user or root, others may neither read nor write the file, and its
group may not write it: what ssh asks of its keys (ssh(1), FILES), but for a group that
reads, which is how root hands a file to a service.
"""

from __future__ import annotations

import errno
import os
import stat

from gapless.base.outside import files

MOST_BYTES = 65536
_REFUSED = stat.S_IRWXO | stat.S_IWGRP


def read(path: str) -> bytes:
    """Return what such a file has.  Raises OSError, with EPERM if others may have it."""
    descriptor = _open(path)
    with open(descriptor, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES} bytes", path)
    return content


def check(path: str) -> None:
    """Refuse a file that others may have.  Raises OSError."""
    os.close(_open(path))


def _open(path: str) -> int:
    # Whoever names the file may name a link, as those are by which containers get secrets.
    descriptor = files.open_regular(os.path.realpath(path))
    try:
        found = os.fstat(descriptor)
        if found.st_uid not in (0, os.geteuid()):
            raise OSError(errno.EPERM, f"it belongs to the user {found.st_uid}", path)
        if found.st_mode & _REFUSED:
            mode = stat.S_IMODE(found.st_mode)
            raise OSError(errno.EPERM, f"its mode {mode:04o} lets others have it", path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
