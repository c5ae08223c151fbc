"""Which process wrote, made, renamed or removed a file (fanotify(7)): where root may ask.

The kernel tells nobody else.  Without it, what is opened, written and closed in an instant
is told from a change by others only by the loop that it begins (`renewal_loop`).
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Protocol

from gapless.supervisor.kernel import open_files
from gapless.supervisor.kernel.open_files import FileIdentity

_CLOEXEC, _NONBLOCK, _UNLIMITED_MARKS = 0x1, 0x2, 0x20
_FLAGS = _CLOEXEC | _NONBLOCK | _UNLIMITED_MARKS
_REPORT_DIRECTORY_AND_NAME = 0x400 | 0x800
_ADD, _ONLY_DIRECTORY = 0x1, 0x8
_CLOSE_WRITE, _ON_CHILD = 0x8, 0x08000000
_MOVED, _CREATE, _DELETE, _DIRECTORIES = 0xC0, 0x100, 0x200, 0x40000000
_HEAD, _RECORD, _HANDLE = struct.Struct("IBBHQii"), struct.Struct("BBH8x"), "Ii"
_HANDLE_HEAD = struct.Struct(_HANDLE)
_DIRECTORY_AND_NAME = 2
_LONGEST_HANDLE = 128
_AT_CWD = -100
_READ_BYTES, _MOST_READS = 64 << 10, 64
_OPENED = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""How the kernel opens each file for us; not waiting, since it may be a named pipe."""


class Listener(Protocol):
    """What is told of who did something."""

    def written(self, path: str, identity: FileIdentity, pid: int) -> None:
        """Take in who closed a file that was written, by the name that it has by now."""

    def named(self, path: str, pid: int) -> None:
        """Take in by whom a name of a file or a directory came, went or was changed."""


class Doers:
    """Tells who does something to the files of some directories."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._writes = self._open(_FLAGS, _OPENED)
        self._names = self._open(_FLAGS | _REPORT_DIRECTORY_AND_NAME, 0)
        self._directories: dict[bytes, str] = {}
        """By their handles (name_to_handle_at(2))."""

    def _open(self, flags: int, how: int) -> int:
        """Return a descriptor, -1 if the kernel does not allow it."""
        try:
            return int(self._libc.fanotify_init(flags, how))
        except AttributeError:
            return -1  # a C library without it

    def add(self, directory: str) -> None:
        """Tell of the files of a directory as well; one that cannot be is left out."""
        self._mark(self._writes, _CLOSE_WRITE | _ON_CHILD, directory)
        if self._mark(
            self._names, _CREATE | _DELETE | _MOVED | _DIRECTORIES, directory
        ) and (handle := self._handle_of(directory)):
            self._directories[handle] = directory

    def _mark(self, descriptor: int, mask: int, directory: str) -> bool:
        return descriptor >= 0 and not self._libc.fanotify_mark(
            descriptor,
            _ADD | _ONLY_DIRECTORY,
            ctypes.c_uint64(mask),
            _AT_CWD,
            os.fsencode(directory),
        )

    def _handle_of(self, directory: str) -> bytes:
        """Return the handle of a directory, as events have it; empty if there is none."""
        handle = ctypes.create_string_buffer(_HANDLE_HEAD.size + _LONGEST_HANDLE)
        _HANDLE_HEAD.pack_into(handle, 0, _LONGEST_HANDLE, 0)
        mount = ctypes.c_int()
        if self._libc.name_to_handle_at(
            _AT_CWD, os.fsencode(directory), handle, ctypes.byref(mount), 0
        ):
            return b""
        size = _HANDLE_HEAD.unpack_from(handle)[0]
        return handle.raw[: _HANDLE_HEAD.size + size]

    def read(self) -> None:
        """Tell what was done since."""
        for descriptor in (self._names, self._writes):
            for _ in range(_MOST_READS):  # the next event brings the rest
                if descriptor < 0:
                    break
                try:
                    events = os.read(descriptor, _READ_BYTES)
                except OSError:
                    break  # none, or out of descriptors: then the next one tells
                self._take_in(events)

    def _take_in(self, events: bytes) -> None:
        offset = 0
        failed: OSError | None = None
        while offset < len(events):
            size, *_, opened, pid = _HEAD.unpack_from(events, offset)
            try:
                if opened >= 0:
                    self._take_in_write(opened, pid)
                else:
                    self._take_in_name(events[offset + _HEAD.size : offset + size], pid)
            except OSError as error:
                failed = error  # those behind it have descriptors to close, too
            offset += size
        if failed is not None:
            raise failed

    def _take_in_write(self, opened: int, pid: int) -> None:
        try:
            path = os.readlink(f"/proc/self/fd/{opened}").removesuffix(open_files.GONE)
            found = open_files.identity(os.fstat(opened))
        except OSError:
            return
        finally:
            os.close(opened)
        self._listener.written(path, found, pid)

    def _take_in_name(self, record: bytes, pid: int) -> None:
        """Take in a directory's handle and a name in it."""
        if len(record) < _RECORD.size + _HANDLE_HEAD.size:
            return  # of an overflow of the queue
        kind, _, _ = _RECORD.unpack_from(record)
        size = _HANDLE_HEAD.unpack_from(record, _RECORD.size)[0]
        end = _RECORD.size + _HANDLE_HEAD.size + size
        directory = self._directories.get(record[_RECORD.size : end])
        name = record[end:].partition(b"\0")[0]
        if kind == _DIRECTORY_AND_NAME and directory is not None and name:
            self._listener.named(os.path.join(directory, os.fsdecode(name)), pid)

    def close(self) -> None:
        """Tell no more."""
        for descriptor in (self._names, self._writes):
            if descriptor >= 0:
                os.close(descriptor)
        self._names = self._writes = -1
