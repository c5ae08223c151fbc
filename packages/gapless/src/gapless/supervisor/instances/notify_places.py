"""Where NOTIFY_SOCKET is: a directory for each instance that only its user may enter.

Rule 1: who cannot enter the directory cannot send anything: the kernel refuses it, and no
flood of another user reaches us.  An abstract name would be for all to see and to use
(/proc/net/unix).
Rule 2: what is above the directory is ours, so nobody can put another in its place.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

from gapless.base import files
from gapless.base.names import Home
from gapless.base.outside import own_directory

NAME = "notify"
LONGEST_BYTES = 107
"""struct sockaddr_un has 108, and a NUL ends the path (unix(7))."""
_NAME_BYTES = 8
_MOST_LEFT = 1000
"""So many names that an app has put into its directory are removed with it."""


class NotifyPlaces:
    """Makes and removes the directories of the instances of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._base = ""

    def bind(self, sock: socket.socket, uid: int) -> str:
        """Bind a socket at a new path to which a user may send; return the path.

        Raises OSError.
        """
        base = self.base()
        with contextlib.suppress(FileExistsError):
            _make(base, 0o711)  # it was removed with the last of the instances
        directory = f"{base}/{os.urandom(_NAME_BYTES).hex()}"
        path = f"{directory}/{NAME}"
        os.mkdir(directory, 0o700)
        try:
            sock.bind(path)
            os.chmod(path, 0o600)
            if uid != os.geteuid():
                os.chown(path, uid, -1)
                os.chown(directory, uid, -1)
        except BaseException:
            _remove(directory)
            raise
        self._base = base
        return path

    def remove(self, sock: socket.socket) -> None:
        """Remove the directory of a socket that is closed now, and the last one's home."""
        path = sock.getsockname()
        if not isinstance(path, str) or os.path.basename(path) != NAME:
            return  # the abstract name of an older version
        directory = os.path.dirname(path)
        _remove(directory)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(directory))

    def remove_unknown(self, known: set[str]) -> None:
        """Remove the directories of instances of which no socket is left."""
        kept = {os.path.basename(os.path.dirname(path)) for path in known}
        for base in self._bases():
            if own_directory.fault(base) is not None:
                continue
            with contextlib.suppress(OSError):
                for name in set(os.listdir(base)) - kept:
                    _remove(f"{base}/{name}")
                os.rmdir(base)

    def base(self) -> str:
        """Return the directory of this home's; it is made if there is none.

        Raises OSError.
        """
        return self._base or self._find_base()

    def _find_base(self) -> str:
        """Return the first directory that can be made for this home.  Raises OSError."""
        failed = OSError("no directory can be made for the sockets of instances")
        for base in self._bases():
            try:
                # With modes of their own: the umask may be 077, and others are to enter.
                files.make_directories(os.path.dirname(base), 0o711)
                _make(base, 0o711)
            except FileExistsError:
                pass
            except OSError as error:
                failed = error
                continue
            if own_directory.fault(base) is None and os.access(base, os.W_OK):
                return base
        raise failed

    def _bases(self) -> list[str]:
        """Return where the directories may be, the best first.

        Those of root's apps have to be where other users may enter.
        """
        try:
            found = os.stat(self._home.path)
        except OSError:
            return []
        uid, name = os.geteuid(), f"{found.st_dev:x}-{found.st_ino:x}"
        if uid == 0:
            bases = [f"/run/gapless/{name}", f"/tmp/gapless-{name}"]  # noqa: S108 - checked
        else:
            bases = [
                f"{self._home.path}/notify",
                f"/run/user/{uid}/gapless-{name}",
                f"/tmp/gapless-{uid}-{name}",  # noqa: S108 - it is checked whose it is
            ]
        room = LONGEST_BYTES - len(f"/{'x' * 2 * _NAME_BYTES}/{NAME}")
        return [each for each in bases if len(os.fsencode(each)) <= room]


def _make(path: str, mode: int) -> None:
    """Make a directory with that mode whatever the umask.  Raises OSError."""
    os.mkdir(path, 0o700)
    os.chmod(path, mode)


def _remove(directory: str) -> None:
    """Remove the directory of an instance and what is in it; never raises.

    What is above it is ours, so it is what was made; in it its user may have put anything:
    names are removed, nothing is followed or entered.
    """
    with contextlib.suppress(OSError):
        os.chown(directory, os.geteuid(), -1, follow_symlinks=False)
        with os.scandir(directory) as found:  # a list of all may be without end
            left = [each.path for each in itertools.islice(found, _MOST_LEFT)]
        for path in left:
            with contextlib.suppress(OSError):
                os.unlink(path)
        os.rmdir(directory)
