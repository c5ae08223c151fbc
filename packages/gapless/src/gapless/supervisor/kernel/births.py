"""When a file was made (statx(2)); Python 3.11 does not tell."""

from __future__ import annotations

import ctypes
import os
import struct

_AT_FDCWD, _AT_SYMLINK_NOFOLLOW = -100, 0x100
_STATX_BTIME = 0x800
_MASK_AT, _BTIME_AT, _SIZE = 0, 80, 256
_libc = ctypes.CDLL(None, use_errno=True)


def birth_of(path: str) -> float | None:
    """Return when a file was made, in seconds since the epoch; None if nobody knows."""
    try:
        statx = _libc.statx
    except AttributeError:
        return None
    found = ctypes.create_string_buffer(_SIZE)
    name = os.fsencode(path)
    if statx(_AT_FDCWD, name, _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, found):
        return None
    (mask,) = struct.unpack_from("=I", found, _MASK_AT)
    if not mask & _STATX_BTIME:
        return None
    seconds, nanoseconds = struct.unpack_from("=qI", found, _BTIME_AT)
    return float(seconds + nanoseconds / 1e9)
