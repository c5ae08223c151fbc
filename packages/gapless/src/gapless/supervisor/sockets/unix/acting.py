"""Do something to files as somebody else would (setfsuid(2))."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_libc = ctypes.CDLL(None, use_errno=True)
_ID_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """As whom a program makes files (`keeper.seccomp.paths`)."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    umask: int = 0o022


def can_act_as(who: Identity) -> bool:
    """Return whether files can be made as the program would make them."""
    return os.geteuid() in (0, who.uid)


@contextlib.contextmanager
def acting_as(who: Identity) -> Iterator[None]:
    """Let what is done to files in the block be done with the rights of a program.

    Else a supervisor that is root would make for an app what its user may not.  Who is not
    root is that user himself.
    """
    before = os.umask(who.umask)
    try:
        if os.geteuid() != 0 or (who.uid, who.gid) == (0, 0):
            yield
            return
        groups = os.getgroups()
        try:
            os.setgroups(who.groups)
            _become(_libc.setfsgid, who.gid)
            _become(_libc.setfsuid, who.uid)  # the rights of root over files go with it
            yield
        finally:
            _become(_libc.setfsuid, os.geteuid())
            _become(_libc.setfsgid, os.getegid())
            os.setgroups(groups)
    finally:
        os.umask(before)


def _become(call: Callable[[int], int], number: int) -> None:
    """Set an id of this thread for files, and see that it is set."""
    call(number)
    if call(-1) & _ID_MASK != number:
        raise PermissionError(
            errno.EPERM, f"the kernel does not let files be made with the id {number}"
        )
