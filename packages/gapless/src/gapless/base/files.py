"""Atomic and durable replacement of files: a file is whole or absent."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import Any

from gapless.base.outside import files as outside_files

PART = ".part"
"""How the name of a file ends that is being written: NAME.RANDOM.PID.part."""
_RANDOM_BYTES = 8
"""Nobody can put a link at a name that nobody can foretell, and O_EXCL finds it if so."""


def write_atomically(
    path: str, content: bytes, mode: int = 0o600, *, durable: bool = True
) -> None:
    """Replace *path* by *content*: readers see the old file or the new one.

    The file and its directory are synced before this returns (rename(2), fsync(2)), unless
    it need not outlive a crash of the machine.  A link at *path* is replaced, never
    followed.  Raises OSError; *path* is then what it was.
    """
    temporary = f"{path}.{os.urandom(_RANDOM_BYTES).hex()}.{os.getpid()}{PART}"
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, how, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise
    if durable:
        sync_directory(os.path.dirname(path) or ".")


def remove_parts(directory: str) -> None:
    """Remove the files that processes of this host were writing when they died.

    One of another host whose pid is free here may go as well: its writer gets an error.
    """
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(directory):
            pid = name.removesuffix(PART).rpartition(".")[2]
            is_part = name.endswith(PART) and pid.isdigit()
            if is_part and not os.path.exists(f"/proc/{pid}"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{directory}/{name}")


def identity(path: str) -> tuple[int, int]:
    """Return what tells a file from every other, also of the same name.  Raises OSError."""
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def unlink_own(path: str, own: tuple[int, int]) -> None:
    """Remove a file if it is still the one of that identity."""
    try:
        if identity(path) == own:
            os.unlink(path)
    except OSError:
        return  # it is gone, and so is its directory perhaps


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str, value: Any, mode: int = 0o600) -> None:
    """Replace *path* by *value* as JSON, atomically."""
    write_atomically(path, as_json(value, indent=2, sort_keys=True), mode)


def as_json(value: Any, **how: Any) -> bytes:
    """Return *value* as JSON and a newline: readable, and UTF-8 for every text.

    A text that UTF-8 cannot have (a variable or a file name that is not UTF-8) is escaped,
    and read as it was.
    """
    try:
        return (json.dumps(value, ensure_ascii=False, **how) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(value, **how) + "\n").encode()


def open_own(path: str, how: int, mode: int = 0o600) -> int:
    """Open a file of ours in a directory of ours: no link, and of no other user.

    Whoever could write to the directory once may have left something in it.  Raises
    OSError, with EPERM for a file of somebody else.
    """
    descriptor = os.open(path, how | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY, mode)
    if os.fstat(descriptor).st_uid in (0, os.geteuid()):
        return descriptor
    os.close(descriptor)
    raise PermissionError(errno.EPERM, "it belongs to another user", path)


def read_own_json(path: str) -> Any:
    """Return the JSON in a file of ours, as `open_own`; None if there is no such file.

    Raises ValueError if it is not JSON, OSError.
    """
    try:
        descriptor = outside_files.open_regular(path)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        if os.fstat(descriptor).st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "it belongs to another user", path)
        return _loads(file.read(), path)


def _loads(content: bytes, path: str) -> Any:
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError(f"{path} has too many levels") from None


def read_json(path: str) -> Any:
    """Return the JSON in *path*, or None if there is no such file.

    Raises ValueError if it is not JSON.
    """
    try:
        with open(path, "rb") as file:
            return _loads(file.read(), path)
    except FileNotFoundError:
        return None
