"""Write members below one directory: every step by descriptor, no link is followed.

Rules:
- A directory is opened by one name below an open directory, and only if it is no link.
- A file is made, never opened: what had its name before is removed first, unless that is a
  directory.  So nothing is ever written through a link, a hard link or a device.
- A member has no right for others to write, no more rights than the tarball gives it, and
  no more than the umask leaves.  It belongs to who unpacks it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable

from gapless.releases.unpacking.faults import RefusedError, shown

_HOW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_OPEN = 64
_FOLDER_RIGHTS, _FILE_RIGHTS = 0o755, 0o755

Parts = tuple[bytes, ...]
"""The names on the way to a member from the top."""


class Tree:
    """A directory that is filled.  Methods raise RefusedError and OSError."""

    def __init__(self, top: int, umask: int) -> None:
        """*top* is a descriptor of an empty directory, to which only this writes."""
        self._top, self._kept = top, ~umask
        self._open: dict[Parts, int] = {}
        self.files = self.folders = self.size_bytes = 0
        self.digests: dict[bytes, str] = {}
        """SHA-256 of each file, by relative path."""
        self.links: dict[bytes, bytes] = {}
        """Target of each link, by relative path."""

    def folder(self, parts: Parts, mode: int) -> None:
        """Make a directory, or set the mode of the one that is there."""
        if not parts:
            return
        above = self._above(parts)
        mode = (mode & _FOLDER_RIGHTS | stat.S_IRWXU) & self._kept
        if parts not in self._open and not self._is_folder(above, parts[-1]):
            self._remove_earlier(above, parts)
            os.mkdir(parts[-1], mode, dir_fd=above)
            self.folders += 1
        os.fchmod(self._folder(parts), mode)

    def file(
        self, parts: Parts, mode: int, mtime: float | None, pieces: Iterable[bytes]
    ) -> None:
        """Write a file."""
        above = self._above(parts)
        mode = (mode & _FILE_RIGHTS | stat.S_IRUSR | stat.S_IWUSR) & self._kept
        try:
            descriptor = os.open(parts[-1], _HOW, mode, dir_fd=above)
        except FileExistsError:
            self._remove_earlier(above, parts)
            descriptor = os.open(parts[-1], _HOW, mode, dir_fd=above)
        digest = hashlib.sha256()
        try:
            for piece in pieces:
                written = os.write(descriptor, piece)
                while written < len(piece):  # a disk that is full writes a part first
                    written += os.write(descriptor, piece[written:])
                self.size_bytes += len(piece)
                digest.update(piece)
            if mtime is not None:
                os.utime(descriptor, (mtime, mtime))
        except OSError as error:
            error.filename = error.filename or b"/".join(parts)
            raise
        finally:
            os.close(descriptor)
        self.digests[b"/".join(parts)] = digest.hexdigest()
        self.files += 1

    def link(self, parts: Parts, target: bytes) -> None:
        """Make a symbolic link; where it leads to is checked when all are there."""
        above = self._above(parts)
        self._remove_earlier(above, parts)
        os.symlink(target, parts[-1], dir_fd=above)
        self.links[b"/".join(parts)] = target
        self.files += 1

    def hard_link(self, parts: Parts, target: bytes) -> None:
        """Make a hard link to a file of this tree."""
        of = tuple(part for part in target.split(b"/") if part not in (b"", b"."))
        fault = RefusedError(
            f"its member {shown(b'/'.join(parts))} is a hard link to {shown(target)}, "
            "which is no file in it"
        )
        if not of or b".." in of or not self._is_file(of):
            raise fault
        if of == parts:
            return  # some programs write a file twice so
        above = self._above(parts)
        self._remove_earlier(above, parts)
        if not self._is_file(of):
            raise fault
        # Both may have been opened for the other's sake: the first may be closed by now.
        source = os.dup(self._above(of))
        try:
            os.link(
                of[-1],
                parts[-1],
                src_dir_fd=source,
                dst_dir_fd=self._above(parts),
                follow_symlinks=False,
            )
        finally:
            os.close(source)
        if digest := self.digests.get(b"/".join(of)):
            self.digests[b"/".join(parts)] = digest
        self.files += 1

    # --- what is there --------------------------------------------------------------------

    def _above(self, parts: Parts) -> int:
        """Return a descriptor of the directory above a member; make what is missing."""
        above = parts[:-1]
        descriptor = self._open.get(above) if above else self._top
        return self._folder(above) if descriptor is None else descriptor

    def _folder(self, parts: Parts) -> int:
        """Return a descriptor of a directory of the tree; make what is missing."""
        if len(self._open) >= _MOST_OPEN:
            self.close()
        descriptor, known = self._top, 0
        for count in range(len(parts), 0, -1):
            if parts[:count] in self._open:
                descriptor, known = self._open[parts[:count]], count
                break
        for count in range(known + 1, len(parts) + 1):
            name = parts[count - 1]
            try:
                made = os.open(name, _OPEN, dir_fd=descriptor)
            except FileNotFoundError:
                os.mkdir(name, _FOLDER_RIGHTS & self._kept, dir_fd=descriptor)
                self.folders += 1
                made = os.open(name, _OPEN, dir_fd=descriptor)
            except NotADirectoryError:  # a link as well: open(2), O_DIRECTORY
                raise RefusedError(
                    f"its member {shown(b'/'.join(parts))} lies below something that is "
                    "no folder"
                ) from None
            descriptor = self._open[parts[:count]] = made
        return descriptor

    def _is_folder(self, above: int, name: bytes) -> bool:
        mode = _mode(above, name)
        return mode is not None and stat.S_ISDIR(mode)

    def _is_file(self, parts: Parts) -> bool:
        """Return whether a path is a file, with no link on the way; nothing is made."""
        descriptor = os.dup(self._top)
        try:
            for name in parts[:-1]:
                below = os.open(name, _OPEN, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            mode = _mode(descriptor, parts[-1])
        except (FileNotFoundError, NotADirectoryError):
            return False
        finally:
            os.close(descriptor)
        return mode is not None and stat.S_ISREG(mode)

    def _remove_earlier(self, above: int, parts: Parts) -> None:
        """Remove an earlier member of the same name."""
        mode = _mode(above, parts[-1])
        if mode is None:
            return
        path = b"/".join(parts)
        if stat.S_ISDIR(mode):
            raise RefusedError(f"its member {shown(path)} would replace a folder")
        os.unlink(parts[-1], dir_fd=above)
        self.links.pop(path, None)
        self.digests.pop(path, None)

    def close(self) -> None:
        """Close what was opened; the tree may be filled further."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


def _mode(above: int, name: bytes) -> int | None:
    try:
        return os.stat(name, dir_fd=above, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
