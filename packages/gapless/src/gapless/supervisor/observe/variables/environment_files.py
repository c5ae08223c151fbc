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
Answers = dict[str, tuple[int, bytes] | None]
"""By path: what was read; None while it still reads."""


def read(
    files: Iterable[str], directory: str, *, user: str = "", group: str = ""
) -> dict[str, str]:
    """Return the variables of files; those of a later file replace those of an earlier.

    A path is relative to *directory*; one that begins with `-` may be missing.  Raises
    MisuseError, UnavailableError.
    """
    found: dict[str, str] = {}
    for each in files:
        path = _path(directory, each)
        found |= _parsed(each, path, user, *file_reader.content(path, user, group))
    return found


def read_soon(
    files: Iterable[str],
    directory: str,
    answers: Answers,
    *,
    user: str = "",
    group: str = "",
) -> dict[str, str] | None:
    """Return as `read`, but None as long as a file is still read: who asks asks again.

    *answers* is what was read so far, of all the times that one asks.  Raises MisuseError,
    UnavailableError.
    """
    found: dict[str, str] = {}
    for each in files:
        path = _path(directory, each)
        answer = answers.get(path)
        if answer is None:
            again = path in answers
            answer = file_reader.soon(path, user, group, again=again)
            if answer[0] == file_reader.LATE:
                answers[path] = None
                return None
            answers[path] = answer
        found |= _parsed(each, path, user, *answer)
    return found


def late(files: Iterable[str], directory: str, answers: Answers) -> GaplessError:
    """Return what to say of files of which one was still read after the longest time."""
    paths = [_path(directory, each) for each in files]
    path = next((each for each in paths if answers.get(each) is None), paths[-1])
    return _late(f"could not read the environment file {path}", file_reader.GIVE_UP_S)


def _path(directory: str, file: str) -> str:
    return os.path.normpath(os.path.join(directory, file.removeprefix(OPTIONAL)))


def _parsed(
    file: str, path: str, user: str, number: int, content: bytes
) -> dict[str, str]:
    """Return the variables of what was read.  Raises MisuseError, UnavailableError."""
    if number in (errno.ENOENT, errno.ENOTDIR) and file.startswith(OPTIONAL):
        return {}
    what = f"could not read the environment file {path}"
    if number:
        raise _failure(what, number, user)
    try:
        return variable_lines.parse(content.decode(errors="surrogateescape"))
    except variable_lines.WrongLineError as error:
        raise MisuseError(
            f"{what}: {error}; write one NAME=VALUE a line, # begins a comment"
        ) from None


def _late(what: str, after_s: float) -> GaplessError:
    return UnavailableError(
        f"{what}: it cannot be read within {after_s:g} s",
        hint="the disk or the share that it is on does not answer",
    )


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
    if number == file_reader.LATE:
        return _late(what, file_reader.READ_S)
    return UnavailableError(f"{what}: {os.strerror(number).lower()}")
