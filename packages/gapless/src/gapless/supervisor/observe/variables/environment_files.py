"""Read the files of variables of an app, with the rights of the app's user.

Rule 1: what the app's user may not read is not read for it.  Its directory may be the
user's own, and a link there must not show a file of root's.
Rule 2: a read cannot hang for long: a process of its own does it (`file_reader`).
Rule 3: no value is in a message, a log, a note or a state: only the program gets them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from gapless.base.errors import GaplessError, MisuseError, UnavailableError
from gapless.supervisor.observe.variables import file_reader, variable_lines

OPTIONAL = "-"


def read(
    files: Iterable[str], directory: str, *, user: str = "", group: str = ""
) -> dict[str, str]:
    """Return the variables of files; those of a later file replace those of an earlier.

    A path is relative to *directory*; one that begins with `-` may be missing.  Raises
    MisuseError, UnavailableError.
    """
    found: dict[str, str] = {}
    for each in files:
        path = os.path.normpath(os.path.join(directory, each.removeprefix(OPTIONAL)))
        number, content = file_reader.content(path, user, group)
        if number in (errno.ENOENT, errno.ENOTDIR) and each.startswith(OPTIONAL):
            continue
        what = f"could not read the environment file {path}"
        if number:
            raise _failure(what, number, user)
        try:
            text = content.decode(errors="surrogateescape")
            found |= variable_lines.parse(text)
        except variable_lines.WrongLineError as error:
            raise MisuseError(
                f"{what}: {error}; write one NAME=VALUE a line, # begins a comment"
            ) from None
    return found


def _failure(what: str, number: int, user: str) -> GaplessError:
    if number == errno.ENOENT:
        return MisuseError(
            f"{what}: there is none; a - in front of the path says that it may be missing"
        )
    if number == errno.EACCES:
        return MisuseError(
            f"{what}: {user or 'this user'} may not; it is read as the user of the app: "
            "let that user read it, or its group (chgrp, chmod g+r), and enter the "
            "directories above it"
        )
    if number == file_reader.NO_USER:
        return MisuseError(f"there is no user or group {user}")
    if number == file_reader.NO_FILE:
        return MisuseError(f"{what}: it is no regular file")
    if number == errno.EFBIG:
        return MisuseError(f"{what}: it has more than {file_reader.MOST_BYTES} bytes")
    if number == errno.ETIMEDOUT:
        return UnavailableError(
            f"{what}: it cannot be read within {file_reader.READ_S:g} s",
            hint="the disk or the share that it is on does not answer",
        )
    return UnavailableError(f"{what}: {os.strerror(number).lower()}")
