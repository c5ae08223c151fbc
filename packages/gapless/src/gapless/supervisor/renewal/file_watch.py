"""Notice that files change, in whole trees (inotify(7))."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import selectors
import struct
from collections.abc import Callable
from typing import Protocol

from gapless.supervisor.renewal.ignored_paths import Ignored

MOST_DIRECTORIES = 20_000
_CLOSE_WRITE, _MOVED, _CREATE, _DELETE = 0x8, 0xC0, 0x100, 0x200
_OVERFLOW, _IGNORED, _IS_DIRECTORY = 0x4000, 0x8000, 0x40000000
_ONLY_DIRECTORY = 0x1000000
_IN_TREE = _CLOSE_WRITE | _MOVED | _CREATE | _DELETE
_HEAD = struct.Struct("iIII")
_READ_BYTES = 64 << 10
_LIMITS = {
    errno.ENOSPC: "max_user_watches",
    errno.EMFILE: "max_user_instances",
}


class Listener(Protocol):
    """What a watch tells of what it sees."""

    def begin(self) -> None:
        """Take in that something happened; what it was follows."""

    def changed(self, path: str) -> None:
        """Take in that a file or a directory changed, came or went."""

    def made(self, path: str) -> None:
        """Take in that a file came into being; `changed` follows, mostly later."""

    def watches(self, directory: str) -> None:
        """Take in that a directory is watched from now on."""


class Watch:
    """Tells a listener when something below one of *roots* changes.

    A root is a directory, with all that is below it, or a file; one that does not exist is
    waited for.  Symlinks are not followed.  Raises OSError that names the limit that is
    in the way.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        roots: tuple[str, ...],
        ignored: Ignored,
        listener: Listener,
    ) -> None:
        self._selector, self._roots = selector, roots
        self._ignored, self._listener = ignored, listener
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._directories: dict[int, str] = {}
        """By watch: the directory it is on."""
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise _limit(ctypes.get_errno())
        try:
            self._watch_everything()
        except BaseException:
            os.close(self._descriptor)
            raise
        selector.register(self._descriptor, selectors.EVENT_READ, self._read)

    def close(self) -> None:
        """Watch no more."""
        if self._descriptor >= 0:
            self._selector.unregister(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    # --- what is watched ------------------------------------------------------------

    def _watch_everything(self) -> None:
        for root in self._roots:
            if os.path.isdir(root):
                self._watch_tree(root)
            # The directory above reports a file, and a root that comes back.
            self._add(_nearest(os.path.dirname(root)))

    def _watch_tree(self, top: str) -> None:
        """Watch a directory and all below it."""
        waiting = [top]
        while waiting:
            directory = waiting.pop()
            if not self._add(directory):
                continue
            try:
                with os.scandir(directory) as entries:
                    waiting += [
                        entry.path
                        for entry in entries
                        if entry.is_dir(follow_symlinks=False)
                        and entry.path not in self._ignored
                    ]
            except OSError:
                continue  # it is gone, or not for us

    def _add(self, directory: str) -> bool:
        """Watch one directory; return whether that could be done."""
        watch = self._libc.inotify_add_watch(
            self._descriptor, os.fsencode(directory), _IN_TREE | _ONLY_DIRECTORY
        )
        if watch < 0:
            number = ctypes.get_errno()
            if number in _LIMITS:
                raise _limit(number)
            return False  # it is gone, or not for us
        self._directories[watch] = directory
        self._listener.watches(directory)
        if len(self._directories) > MOST_DIRECTORIES:
            raise OSError(
                errno.E2BIG,
                f"more than {MOST_DIRECTORIES} directories: leave some out of the "
                "watch (ignore_watch)",
            )
        return True

    # --- events ---------------------------------------------------------------------

    def _read(self) -> None:
        try:
            events = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        self._listener.begin()
        offset = 0
        while offset < len(events):
            watch, mask, _, length = _HEAD.unpack_from(events, offset)
            offset += _HEAD.size
            name = events[offset : offset + length].rstrip(b"\0")
            offset += length
            self._handle(watch, mask, os.fsdecode(name))

    def _handle(self, watch: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self._watch_more(self._watch_everything)  # there may be directories untold
            self._listener.changed(self._roots[0])
            return
        directory = self._directories.get(watch)
        if mask & _IGNORED:
            self._directories.pop(watch, None)
            return
        if directory is None or not name:
            return  # the directory above reports what happened to a directory itself
        path = os.path.join(directory, name)
        if not self._is_ours(path):
            return
        if mask & _IS_DIRECTORY and mask & (_CREATE | _MOVED):
            self._watch_more(lambda: self._watch_tree(path))
        elif mask & _CREATE:
            self._listener.made(path)
            if not _is_complete(path):
                return  # its writer will close it
        self._listener.changed(path)

    def _is_ours(self, path: str) -> bool:
        """Return whether a change there is one below a root, or of a root itself."""
        for root in self._roots:
            if path == root or path.startswith(f"{root}/"):
                return path == root or path not in self._ignored
            if root.startswith(f"{path}/"):
                self._watch_more(
                    self._watch_everything
                )  # a directory on the way came back
                return os.path.lexists(root)
        return False

    def _watch_more(self, watch: Callable[[], None]) -> None:
        """Watch more; if a limit is reached, what is watched already stays watched."""
        with contextlib.suppress(OSError):
            watch()


def _is_complete(path: str) -> bool:
    """Return whether no writer will close what was created: a link, a socket."""
    try:
        found = os.lstat(path)
    except OSError:
        return True
    return found.st_nlink > 1 or not os.path.isfile(path) or os.path.islink(path)


def _nearest(directory: str) -> str:
    """Return the nearest directory above that exists."""
    while directory != "/" and not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return directory


def _limit(number: int) -> OSError:
    """Return an error that says which limit is in the way, if one is."""
    if number not in _LIMITS:
        return OSError(number, os.strerror(number))
    name = f"/proc/sys/fs/inotify/{_LIMITS[number]}"
    return OSError(number, f"the limit in {name} is reached: raise it")
