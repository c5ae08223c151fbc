"""Which process closed a file that it had written (fanotify(7)): where root may ask.

The kernel tells nobody else.  Without it, what is opened, written and closed in an instant
is told from a change by others only by the loop that it begins (`renewal_loop`).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable

from gapless.supervisor.kernel import held_files
from gapless.supervisor.kernel.held_files import FileIdentity

_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE, _UNLIMITED_MARKS = 0x1, 0x2, 0x10, 0x20
_ADD, _ONLY_DIRECTORY = 0x1, 0x8
_CLOSE_WRITE, _ON_CHILD = 0x8, 0x08000000
_HEAD = struct.Struct("IBBHQii")
_AT_CWD = -100
_READ_BYTES = 64 << 10
_DELETED = " (deleted)"
_OPENED = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""How the kernel opens each file for us; not waiting, since it may be a named pipe."""


class CloseWrites:
    """Calls back when a file in one of its directories was written, with who did it.

    Path, device and inode, and pid; the path is the one that the file has by then.
    """

    def __init__(self, written: Callable[[str, FileIdentity, int], None]) -> None:
        self._written = written
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = _CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE | _UNLIMITED_MARKS
        try:
            self.descriptor = int(self._libc.fanotify_init(flags, _OPENED))
        except AttributeError:
            self.descriptor = -1  # a C library without it
        """-1 if the kernel does not allow it."""

    def add(self, directory: str) -> None:
        """Report the files of a directory as well; one that cannot be is left out."""
        if self.descriptor >= 0:
            self._libc.fanotify_mark(
                self.descriptor,
                _ADD | _ONLY_DIRECTORY,
                ctypes.c_uint64(_CLOSE_WRITE | _ON_CHILD),
                _AT_CWD,
                os.fsencode(directory),
            )

    def read(self) -> None:
        """Report what was written since."""
        while self.descriptor >= 0:
            try:
                events = os.read(self.descriptor, _READ_BYTES)
            except OSError:
                return  # none, or out of descriptors: then the next one tells
            offset = 0
            while offset < len(events):
                size, *_, opened, pid = _HEAD.unpack_from(events, offset)
                offset += size
                if opened >= 0:
                    self._report(opened, pid)

    def _report(self, opened: int, pid: int) -> None:
        try:
            path = os.readlink(f"/proc/self/fd/{opened}").removesuffix(_DELETED)
            found = held_files.identity(os.fstat(opened))
        except OSError:
            return
        finally:
            os.close(opened)
        self._written(path, found, pid)

    def close(self) -> None:
        """Report no more."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
