"""How gapless writes to disk: whole or not at all, and durable where a promise needs it.

Rule 1: what must survive a loss of power is synced here, and nowhere else: the content
before its name (write, fsync, rename), and each name with its directory.  All other files
are hints.  `docs/disk.md` has both, file by file, and a test compares it with the code.
Rule 2: a name that has gone is durable only after its directory was synced, too: what was
removed comes back otherwise.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from typing import Any

from gapless.base.outside import files as outside_files

PART = ".part"
"""How the name of a file ends that is being written: NAME.RANDOM.PID.part."""
PRIVATE_FILE, GROUP_FILE, SHARED_FILE = 0o600, 0o640, 0o644
"""Modes: for secrets; for reports and logs; for what programs of other users must read."""
PRIVATE_DIRECTORY, SHARED_DIRECTORY = 0o700, 0o755
MOST_RECORD_BYTES = 64 << 20
"""No record of ours has so many."""
_RANDOM_BYTES = 8
"""Nobody can put a link at a name that nobody can foretell, and O_EXCL finds it if so."""


def write_atomically(
    path: str, content: bytes, mode: int = PRIVATE_FILE, *, durable: bool = True
) -> None:
    """Replace *path* by *content*: readers see the old file or the new one.

    The file and its directory are synced before this returns (rename(2), fsync(2)), unless
    it need not outlive a crash of the machine.  A link at *path* is replaced, never
    followed.  The mode is *mode*, whatever the umask is.  Raises OSError; *path* is then
    what it was.
    """
    temporary = f"{path}.{os.urandom(_RANDOM_BYTES).hex()}.{os.getpid()}{PART}"
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, how, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            if durable:
                sync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise
    if durable:
        sync_directory(os.path.dirname(path) or ".")


def write_new(path: str, content: bytes, mode: int = PRIVATE_FILE) -> None:
    """Write a file that is not there yet.  Raises OSError."""
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, how, mode), "wb") as file:
        file.write(content)


def write_over(path: str, content: bytes, mode: int) -> None:
    """Write a file in its place, where a name beside it must not appear for a moment.

    A link or anything else but a regular file is refused.  Raises OSError.
    """
    how = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, how, mode)
    with os.fdopen(descriptor, "wb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        os.ftruncate(descriptor, 0)
        file.write(content)
        with contextlib.suppress(PermissionError):  # it belongs to another user
            os.fchmod(descriptor, mode)


def open_to_append(path: str, mode: int) -> int:
    """Return a descriptor that appends to a file, which is made with *mode* if needed.

    A file that is there gets no wider mode than that.  Raises OSError, with ELOOP for a
    link.
    """
    how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, how, mode)
    found = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if found & ~mode:
        with contextlib.suppress(PermissionError):  # it belongs to another user
            os.fchmod(descriptor, found & mode)
    return descriptor


def make_directories(path: str, mode: int) -> None:
    """Make a directory, and those above it that are missing, with *mode*.

    One that is there stays as it is.  Each new one is durable.  Raises OSError.
    """
    try:
        is_new = _make_directory(path, mode)
    except FileNotFoundError:
        above = os.path.dirname(path.rstrip("/"))
        if not above:
            raise
        make_directories(above, mode)
        # /proc says "no such file" of each name that is not its own: once is enough.
        is_new = _make_directory(path, mode)
    if not is_new:
        return
    # The umask takes from the mode that mkdir(2) is given.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    with contextlib.suppress(PermissionError):  # one that may be passed, and not read
        sync_directory(os.path.dirname(path.rstrip("/")) or ".")


def _make_directory(path: str, mode: int) -> bool:
    """Make one directory; return whether it is new.  Raises OSError."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return False
    return True


def rename(path: str, new: str) -> None:
    """Give a file another name, durably; one of that name is replaced.  Raises OSError."""
    os.rename(path, new)
    sync_directory(os.path.dirname(new) or ".")


def remove(path: str) -> None:
    """Remove a file if it is there, durably: it does not come back.  Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        sync_directory(os.path.dirname(path) or ".")


def remove_parts(directory: str) -> None:
    """Remove the files that processes of this host were writing when they died.

    One of another host whose pid is free here may go as well: its writer gets an error.
    """
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(directory):
            part = part_of(name)
            if part is not None and not os.path.exists(f"/proc/{part[1]}"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{directory}/{name}")


def part_of(name: str) -> tuple[str, str] | None:
    """Return which file a file is a half-written one of, and by which pid; or None.

    Earlier versions had no random part in such names.
    """
    rest, _, pid = name.removesuffix(PART).rpartition(".")
    if not (name.endswith(PART) and rest and pid.isdigit()):
        return None
    whole, _, drawn = rest.rpartition(".")
    is_drawn = len(drawn) == 2 * _RANDOM_BYTES and set(drawn) <= set("0123456789abcdef")
    return (whole if whole and is_drawn else rest), pid


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
    """Make the names in a directory durable.  Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync(descriptor: int) -> None:
    """Make durable what a file or a directory holds that is open.  Raises OSError."""
    os.fsync(descriptor)


def sync_file_system(path: str) -> None:
    """Make everything on the file system of a directory durable at once (syncfs(2)).

    One call for ten thousand files takes less time than ten thousand calls.
    Raises OSError.
    """
    import ctypes  # noqa: PLC0415 - the keeper has this file, and no need of syncfs

    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def write_json(path: str, value: Any, mode: int = PRIVATE_FILE) -> None:
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

    Raises ValueError if it is not JSON or larger than a record, OSError.
    """
    try:
        descriptor = outside_files.open_regular(path)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        if os.fstat(descriptor).st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "it belongs to another user", path)
        return _loads(file.read(MOST_RECORD_BYTES + 1), path)


def _loads(content: bytes, path: str) -> Any:
    if len(content) > MOST_RECORD_BYTES:
        raise ValueError(f"{path} has more than {MOST_RECORD_BYTES} bytes")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError(f"{path} has too many levels") from None


def read_json(path: str) -> Any:
    """Return the JSON in *path*, or None if there is no such file.

    Only a regular file that is no link is read.  Raises ValueError if it is not JSON or
    larger than a record, OSError.
    """
    try:
        with open(outside_files.open_regular(path), "rb") as file:
            return _loads(file.read(MOST_RECORD_BYTES + 1), path)
    except FileNotFoundError:
        return None
