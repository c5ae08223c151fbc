"""Notice that a name of a socket was removed, or renamed (inotify(7)).

A socket says so itself, wherever its names are: the count of its links changes.  So nobody
is woken by what else happens in the directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import struct
from collections.abc import Callable

from gapless.supervisor.sockets.unix.place import Place

_ATTRIBUTES, _MOVE_SELF, _IGNORED = 0x4, 0x800, 0x8000
_WANTED = _ATTRIBUTES | _MOVE_SELF  # the count of links is one of the attributes
_HEAD = struct.Struct("iIII")
_READ_BYTES = 16 << 10


class NameWatch:
    """Calls back with the path of which a name may have gone."""

    def __init__(
        self, selector: selectors.BaseSelector, changed: Callable[[str], None]
    ) -> None:
        self._changed = changed
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._paths: dict[int, str] = {}
        """By watch."""
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor >= 0:  # else the paths are looked after by the calls alone
            selector.register(self._descriptor, selectors.EVENT_READ, self._read)

    def add(self, place: Place) -> None:
        """Watch the names of a socket, until it has none."""
        if self._descriptor < 0:
            return
        name = os.fsencode(place.beside or place.path)
        watch = self._libc.inotify_add_watch(self._descriptor, name, _WANTED)
        if watch >= 0:
            self._paths[watch] = place.path

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._descriptor, _READ_BYTES)
            at, changed = 0, set()
            while at + _HEAD.size <= len(said):
                watch, mask, _, length = _HEAD.unpack_from(said, at)
                at += _HEAD.size + length
                path = self._paths.get(watch, "")
                if mask & _IGNORED:
                    self._paths.pop(watch, None)
                elif path:
                    changed.add(path)
            for path in changed:
                self._changed(path)
