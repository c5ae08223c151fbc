"""Files on which trust rests: allowed signers and keys, which nobody else may change.

As sshd's StrictModes does (sshd_config(5)): the file and each directory above it belong to
this user or to root, and nobody else may write them.  A directory with the sticky bit, as
/tmp, is no way to replace a file of another user.
"""

from __future__ import annotations

import os
import stat

from gapless.base.errors import UnavailableError
from gapless.base.outside import files

MOST_BYTES = 1 << 20


def read_signers(path: str, what: str) -> bytes:
    """Return the content of a file of allowed signers (ssh-keygen(1), ALLOWED SIGNERS).

    *what* names the key of the configuration.  Raises UnavailableError: not the upload is
    at fault, and it waits.
    """
    real = _checked(path, what, others=0o022)
    try:
        return files.read(real, MOST_BYTES)
    except OSError as error:
        raise _cannot_read(path, what, error) from error


def check_key(path: str, what: str) -> None:
    """Check a private key, or a public one whose private one an agent has.

    Raises UnavailableError.
    """
    _checked(path, what, others=0o022 if path.endswith(".pub") else 0o077)


def _checked(path: str, what: str, *, others: int) -> str:
    """Return the path without links, if no other user may do what is in *others*."""
    real = os.path.realpath(path)
    try:
        descriptor = files.open_regular(real)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        _check(real, found, others, path, what)
        folder = os.path.dirname(real)
        while True:
            found = os.stat(folder)
            sticky = bool(found.st_mode & stat.S_ISVTX)
            _check(folder, found, 0 if sticky else 0o022, path, what)
            if folder == os.path.dirname(folder):
                return real
            folder = os.path.dirname(folder)
    except UnavailableError:
        raise
    except OSError as error:
        raise _cannot_read(path, what, error) from error


def _check(at: str, found: os.stat_result, others: int, path: str, what: str) -> None:
    me = os.geteuid()
    if found.st_uid not in (0, me):
        why = f"{at} belongs to the user {found.st_uid}"
    elif stat.S_IMODE(found.st_mode) & others:
        why = f"{at} is open to others: its mode is {stat.S_IMODE(found.st_mode):04o}"
    else:
        return
    raise UnavailableError(
        f"{what} = {path!r} is not trusted: {why}",
        hint=f"chown {me} and chmod go-w (a private key: go-rwx) the file and the "
        "directories above it",
    )


def _cannot_read(path: str, what: str, error: OSError) -> UnavailableError:
    reason = (error.strerror or str(error)).lower()
    return UnavailableError(
        f"{what} = {path!r} cannot be read: {reason}",
        hint="without it nothing can be verified or signed, so nothing is",
    )
