"""What is taken from a supervisor of a rehearsal and all that it starts: landlock(7).

It writes below a few directories only, and binds a few ports of TCP only; it may read, and
connect to, whatever its user may.  A thread confines itself, and what it starts inherits
that: the process that waits is as free as before.

Source: landlock(7), <linux/landlock.h>.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from collections.abc import Callable, Iterable

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same on all machines."""
_GET_VERSION, _RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 1, 2
_LEAST_ABI, _TRUNCATE_ABI, _NET_ABI = 2, 3, 4
_CHANGES = 1 << 1 | sum(1 << bit for bit in range(4, 14))
"""WRITE_FILE, and REMOVE_DIR to REFER."""
_TRUNCATE = 1 << 14
_BIND_TCP = 1
_ALWAYS = ("/dev", "/proc", "/sys/fs/cgroup")
"""What is there is not kept, or is what the kernel shows."""


def run_confined(
    act: Callable[[], None], *, writable: Iterable[str], ports: Iterable[int] | None
) -> str:
    """Act in a thread that is confined; *ports* = None leaves binding alone.

    Returns what the kernel could not confine; empty if nothing.  Raises what *act* does.
    """
    raised: list[BaseException] = []
    missing: list[str] = []

    def confined() -> None:
        try:
            missing.append(_confine([*_ALWAYS, *writable], ports))
            act()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            raised.append(error)

    thread = threading.Thread(target=confined)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return missing[0]


def _confine(writable: Iterable[str], ports: Iterable[int] | None) -> str:
    """Confine this thread for good; return what was not possible."""
    version = _libc.syscall(_CREATE_RULESET, None, 0, _GET_VERSION)
    if version < _LEAST_ABI:
        return "this kernel has no landlock, so that the app may write everywhere"
    changes = _CHANGES | (_TRUNCATE if version >= _TRUNCATE_ABI else 0)
    binds = ports is not None and version >= _NET_ABI
    rights = struct.pack("=QQ", changes, _BIND_TCP if binds else 0)
    ruleset = _libc.syscall(
        _CREATE_RULESET, rights, len(rights) if version >= _NET_ABI else 8, 0
    )
    if ruleset < 0:
        return f"landlock is not available: {_error()}"
    try:
        for path in writable:
            _allow_path(ruleset, path, changes)
        # 0 is any port that is free, which no program is asked at.
        for port in (0, *(ports or ())) if binds else ():
            rule = struct.pack("=QQ", _BIND_TCP, port)
            _libc.syscall(_ADD_RULE, ruleset, _RULE_NET_PORT, rule, 0)
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if _libc.syscall(_RESTRICT_SELF, ruleset, 0):
            return f"landlock is not available: {_error()}"
    finally:
        os.close(ruleset)
    if ports is not None and not binds:
        return (
            "this kernel cannot keep the app from binding other ports (Linux 6.7 can)"
        )
    return ""


def _allow_path(ruleset: int, path: str, rights: int) -> None:
    try:
        directory = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # there is none on this machine
    try:
        if not os.path.isdir(path):
            rights &= 1 << 1 | _TRUNCATE
        rule = struct.pack("=Qi", rights, directory)
        _libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(directory)


def _error() -> str:
    return os.strerror(ctypes.get_errno()).lower()
