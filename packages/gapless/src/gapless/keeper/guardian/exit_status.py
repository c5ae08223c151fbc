"""How a process ended that is not ours to wait for, by its pidfd (Linux 6.15)."""

from __future__ import annotations

import fcntl
import os
import struct

_EXIT = 1 << 3  # PIDFD_INFO_EXIT
_INFO = struct.Struct("=QQ11Ii")
"""struct pidfd_info (linux/pidfd.h): mask, cgroup, 11 numbers, exit code."""
_GET_INFO = 3 << 30 | _INFO.size << 16 | 0xFF << 8 | 11


def of(pidfd: int) -> int | None:
    """Return the wait status (wait(2)) of a process; None if the kernel does not tell.

    It does once its parent, or init, has waited for it.
    """
    found = bytearray(_INFO.pack(_EXIT, 0, *[0] * 12))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, found, True)
    except OSError:
        return None
    mask, *_, status = _INFO.unpack(found)
    return int(status) if mask & _EXIT else None


def wait_status(found: os.waitid_result) -> int:
    """Return what waitid(2) found as waitpid(2) does."""
    if found.si_code == os.CLD_EXITED:
        return found.si_status << 8
    return found.si_status | (0x80 if found.si_code == os.CLD_DUMPED else 0)
