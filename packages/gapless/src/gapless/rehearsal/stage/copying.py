"""Copies of the directories of an app: what it writes there is not what really runs.

Links stay links; one that leads into a directory that is copied too leads into the copy.
The history of git, pid files, sockets and devices are left out: who reads the pid of what
really runs may signal it.  No copy has a set-id bit.
"""

from __future__ import annotations

import contextlib
import os
import stat

from gapless.base import files
from gapless.base.errors import MisuseError, NotFoundError, UnavailableError
from gapless.base.outside import files as outside_files
from gapless.rehearsal.places import Paths, path_moved

MOST_BYTES = 2 << 30
MOST_FILES = 300_000
_MOST_LEVELS = 100
_LEFT_OUT = (".git", ".hg", ".svn")
_PID_FILE = ".pid"
_PERMISSIONS = 0o777
_PIECE_BYTES = 1 << 20


class Copying:
    """Copies trees until a limit of all of them together is reached."""

    def __init__(
        self,
        paths: Paths,
        *,
        most_bytes: int = MOST_BYTES,
        most_files: int = MOST_FILES,
    ) -> None:
        """Let links lead where *paths* has their targets."""
        self._paths = paths
        self._left_bytes, self._left_files = most_bytes, most_files
        self._most = f"{most_bytes >> 20} MB and {most_files} files"

    def copy(self, source: str, target: str) -> None:
        """Copy a directory, or one file, to a name that is free.

        Raises NotFoundError, MisuseError for too large a tree, UnavailableError.
        """
        if not os.path.lexists(source):
            raise NotFoundError(f"there is no {source} to copy")
        files.make_directories(os.path.dirname(target), files.SHARED_DIRECTORY)
        try:
            self._copy(source, target, source, 0)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UnavailableError(
                f"could not copy {error.filename or source}: {reason}",
                hint="a rehearsal runs in copies of the app's directories; TMPDIR says "
                "where they are made",
            ) from error

    def _copy(self, source: str, target: str, top: str, depth: int) -> None:
        try:
            found = os.lstat(source)
        except FileNotFoundError:
            return  # it was removed meanwhile
        self._left_files -= 1
        if self._left_files < 0 or depth > _MOST_LEVELS:
            raise self._too_large(top)
        if stat.S_ISLNK(found.st_mode):
            os.symlink(path_moved(os.readlink(source), self._paths), target)
        elif stat.S_ISDIR(found.st_mode):
            os.mkdir(target, files.PRIVATE_DIRECTORY)
            for name in os.listdir(source):
                if name not in _LEFT_OUT:
                    self._copy(f"{source}/{name}", f"{target}/{name}", top, depth + 1)
        elif stat.S_ISREG(found.st_mode) and not source.endswith(_PID_FILE):
            self._copy_file(source, target, top)
        else:
            return
        if os.geteuid() == 0:
            os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            os.chmod(target, found.st_mode & _PERMISSIONS)

    def _copy_file(self, source: str, target: str, top: str) -> None:
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with contextlib.ExitStack() as stack:
            read = outside_files.open_regular(source)
            stack.callback(os.close, read)
            write = os.open(target, how, files.PRIVATE_FILE)
            stack.callback(os.close, write)
            while count := _piece(read, write):
                self._left_bytes -= count
                if self._left_bytes < 0:
                    raise self._too_large(top)

    def _too_large(self, top: str) -> MisuseError:
        return MisuseError(
            f"{top} has more than the {self._most} that a rehearsal copies",
            hint="keep what the app stores outside of its directory, or rehearse a "
            "tarball; for shared directories: --shared empty",
        )


def _piece(read: int, write: int) -> int:
    """Copy a piece; return its size."""
    try:
        return os.copy_file_range(read, write, _PIECE_BYTES)
    except OSError:  # these file systems cannot, or these two together cannot
        piece = os.read(read, _PIECE_BYTES)
        done = 0
        while done < len(piece):
            done += os.write(write, piece[done:])
        return len(piece)
