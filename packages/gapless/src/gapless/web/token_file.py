"""The token of the page: read from a file of its owner, which is made if there is none.

It stays, so that the page of the next release, and the link that somebody has kept, work.
"""

from __future__ import annotations

import os
import secrets

from gapless.base import files
from gapless.base.errors import MisuseError, UnavailableError
from gapless.base.names import Home
from gapless.base.outside import files as outside_files
from gapless.web import access

NAME = "web.token"
_MOST_BYTES = 1024


def path_in(home: Home) -> str:
    """Return where the token is, unless another file is named."""
    return f"{home.path}/{NAME}"


def token(path: str) -> str:
    """Return the token in a file; make one if there is no such file.

    Raises MisuseError for a file that others may read, or that has no token.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _refused(path, (error.strerror or str(error)).lower()) from error
    made = secrets.token_urlsafe(access.TOKEN_BYTES)
    part = f"{path}.{secrets.token_hex(8)}.{os.getpid()}{files.PART}"
    try:
        files.write_new(part, f"{made}\n".encode())
        try:
            os.link(part, path)  # whole, and of one of those that make one at a time
        finally:
            os.unlink(part)
    except FileExistsError:
        return token(path)  # another generation of the page has begun as well
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UnavailableError(
            f"could not write the token of the page to {path}: {reason}",
            hint="--token-file FILE names another file",
        ) from error
    return made


def _read(path: str) -> str:
    """Return the token in a file.  Raises OSError, MisuseError."""
    descriptor = outside_files.open_regular(path)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        content = file.read(_MOST_BYTES)
    if found.st_uid not in (0, os.geteuid()):
        raise _refused(path, "it belongs to another user")
    if found.st_mode & 0o077:
        raise _refused(path, "others may read it", hint=f"chmod 600 {path}")
    text = content.decode("ascii", errors="replace").strip()
    if not access.is_token(text):
        raise _refused(
            path,
            f"it has no token: {access.LEAST_TOKEN_CHARACTERS} letters, digits, - and _ "
            "or more",
            hint=f"remove {path}, and a token is made",
        )
    return text


def _refused(path: str, reason: str, hint: str = "") -> MisuseError:
    return MisuseError(f"the token of the page in {path}: {reason}", hint=hint)
