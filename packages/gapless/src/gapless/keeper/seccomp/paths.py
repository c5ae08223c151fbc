"""Facts about a Unix-domain path that a waiting system call is about.

Rule: a path is one of this machine's, as everybody else sees it, or it is none.  A caller
with another root or with mounts of its own means other files by the same names.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

from gapless.keeper.seccomp import ancestor

_AT_FDCWD = -100
_PATH_AT = 2  # struct sockaddr_un
_LONGEST_ADDRESS_BYTES, _LONGEST_PATH_BYTES = 110, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """As whom a thread makes files."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int


def parse_unix_address(raw: bytes) -> bytes | None:
    """Return the name in a struct sockaddr_un; None for another kind, or without a name.

    A path has no NUL; an abstract name begins with one.
    """
    if len(raw) <= _PATH_AT or struct.unpack_from("=H", raw)[0] != socket.AF_UNIX:
        return None
    name = raw[_PATH_AT:_LONGEST_ADDRESS_BYTES]
    return name if name.startswith(b"\0") else name.partition(b"\0")[0]


def read_bytes(thread_id: int, pointer: int, length: int) -> bytes:
    """Return what a thread has in its memory, as much of it as is there.

    Raises OSError.
    """
    memory = ancestor.open_memory(thread_id)
    try:
        return os.pread(memory, length, pointer)
    except OverflowError:  # no address of a process is beyond 2^63
        return b""
    finally:
        os.close(memory)


def read_name(thread_id: int, pointer: int) -> bytes:
    """Return a path that a thread passed to a system call.  Raises OSError."""
    return read_bytes(thread_id, pointer, _LONGEST_PATH_BYTES).partition(b"\0")[0]


def directory_argument(argument: int) -> int:
    """Return the directory descriptor in an argument of 64 bits."""
    return ctypes.c_int(argument & 0xFFFFFFFF).value


def resolve(
    thread_id: int,
    name: bytes,
    directory: int = _AT_FDCWD,
    *,
    wanted: Collection[str] | None = None,
) -> str:
    """Return the path that a thread means, without symlinks but for its last name.

    Empty if it is none, or if its last name is not *wanted*.  Raises OSError.
    """
    given = os.fsdecode(name)
    base = os.path.basename(given)
    if base in ("", ".", "..") or (wanted is not None and base not in wanted):
        return ""
    if not _shares_our_root(thread_id):
        return ""
    if not given.startswith("/"):
        at = "cwd" if directory == _AT_FDCWD else f"fd/{directory}"
        given = os.path.join(os.readlink(f"/proc/{thread_id}/{at}"), given)
    return os.path.join(os.path.realpath(os.path.dirname(given)), base)


def _shares_our_root(thread_id: int) -> bool:
    ours, theirs = os.stat("/proc/self/ns/mnt"), os.stat(f"/proc/{thread_id}/ns/mnt")
    same = (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
    return same and os.readlink(f"/proc/{thread_id}/root") == "/"


def identity(thread_id: int) -> Identity:
    """Return as whom a thread makes files, from its status (proc(5)).  Raises OSError."""
    found: dict[bytes, list[bytes]] = {}
    with open(f"/proc/{thread_id}/status", "rb") as file:
        for line in file:
            name, _, rest = line.partition(b":")
            found[name] = rest.split()
    return Identity(
        uid=int(found[b"Uid"][3]),
        gid=int(found[b"Gid"][3]),
        groups=tuple(map(int, found[b"Groups"])),
        umask=int((found.get(b"Umask") or [b"022"])[0], 8),
    )
