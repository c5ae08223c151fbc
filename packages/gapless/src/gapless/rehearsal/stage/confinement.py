"""What is taken from a supervisor of a rehearsal and all that it starts: landlock(7).

It writes below a few directories only, binds a few ports of TCP only, and signals only what
it has started; it may read, connect to, and change the modes and owners of, whatever its
user may.  A thread confines itself, and what it starts inherits
that: the process that waits is as free as before.

Source: landlock(7), <linux/landlock.h>.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from gapless.base import clock
from gapless.releases.reaper import descendants

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same on all machines."""
_GET_VERSION, _RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 1, 2
_LEAST_ABI, _TRUNCATE_ABI, _NET_ABI, _SCOPE_ABI = 2, 3, 4, 6
_CHANGES = 1 << 1 | sum(1 << bit for bit in range(4, 14))
"""WRITE_FILE, and REMOVE_DIR to REFER."""
_TRUNCATE = 1 << 14
_BIND_TCP = 1
_SCOPE_SIGNAL = 1 << 1
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx")
"""What is written there is not kept; /dev/shm and disks are not among them."""
_END_S, _PAUSE_S = 8.0, 0.1
_ALWAYS = (*(f"/dev/{name}" for name in _DEVICES), "/proc", "/sys/fs/cgroup")
"""What is there is not kept, or is what the kernel shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What the kernel could not take, as sentences for the report."""

    ports: str = ""
    """Why other ports can be bound; empty if they cannot."""
    others: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """All of it."""
        return (self.ports, *self.others) if self.ports else self.others


def run_confined(
    act: Callable[[], None], *, writable: Iterable[str], ports: Iterable[int] | None
) -> Missing:
    """Act in a thread that is confined; *ports* = None leaves binding alone.

    Returns what the kernel could not confine.  Raises what *act* does.
    """
    raised: list[BaseException] = []
    missing: list[Missing] = []

    def confined() -> None:
        try:
            missing.append(_confine([*_ALWAYS, *writable], ports))
            act()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            raised.append(error)

    thread = threading.Thread(target=confined)
    thread.start()
    try:
        thread.join()
    except BaseException:
        _end(thread)
        raise
    if raised:
        raise raised[0]
    return missing[0]


def _end(thread: threading.Thread) -> None:
    """End what a thread waits for, so that it goes on and ends."""
    until = clock.monotonic() + _END_S
    while thread.is_alive() and clock.monotonic() < until:
        descendants.end_all("")
        thread.join(_PAUSE_S)


def missing_at(version: int, *, has_ports: bool) -> Missing:
    """Return what a version of landlock cannot take; below 1 there is none."""
    if version < _LEAST_ABI:
        return Missing(
            ports="this kernel has no landlock, so that the app may write everywhere"
        )
    ports, others = "", []
    if has_ports and version < _NET_ABI:
        ports = (
            "this kernel cannot keep the app from binding other ports (Linux 6.7 can)"
        )
    if version < _TRUNCATE_ABI:
        others.append(
            "this kernel cannot keep the app from truncating other files by their "
            "names (Linux 6.2 can)"
        )
    if version < _SCOPE_ABI:
        others.append(
            "this kernel cannot keep the app from sending signals to other processes "
            "of its user (Linux 6.12 can)"
        )
    return Missing(ports=ports, others=tuple(others))


def _confine(writable: Iterable[str], ports: Iterable[int] | None) -> Missing:
    """Confine this thread for good; return what was not possible."""
    version = _libc.syscall(_CREATE_RULESET, None, 0, _GET_VERSION)
    missing = missing_at(version, has_ports=ports is not None)
    if version < _LEAST_ABI:
        return missing
    changes = _CHANGES | (_TRUNCATE if version >= _TRUNCATE_ABI else 0)
    binds = ports is not None and version >= _NET_ABI
    fields = [changes]
    if version >= _NET_ABI:
        fields.append(_BIND_TCP if binds else 0)
    if version >= _SCOPE_ABI:
        fields.append(_SCOPE_SIGNAL)
    rights = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _libc.syscall(_CREATE_RULESET, rights, len(rights), 0)
    if ruleset < 0:
        return Missing(ports=f"landlock is not available: {_error()}")
    refused: list[str] = []
    try:
        refused += [
            f"the app may not write to {path}: {trouble}"
            for path in writable
            if (trouble := _allow_path(ruleset, path, changes))
        ]
        # 0 is any port that is free, which no program is asked at.
        for port in (0, *(ports or ())) if binds else ():
            rule = struct.pack("=QQ", _BIND_TCP, port)
            if _libc.syscall(_ADD_RULE, ruleset, _RULE_NET_PORT, rule, 0):
                refused.append(f"the app may not bind port {port}: {_error()}")
        if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.syscall(
            _RESTRICT_SELF, ruleset, 0
        ):
            return Missing(ports=f"landlock is not available: {_error()}")
    finally:
        os.close(ruleset)
    return replace(missing, others=(*missing.others, *refused))


def _allow_path(ruleset: int, path: str, rights: int) -> str:
    """Let what is there be written; return why that failed."""
    try:
        directory = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return ""  # there is none on this machine
    try:
        if not os.path.isdir(path):
            rights &= 1 << 1 | _TRUNCATE
        rule = struct.pack("=Qi", rights, directory)
        if _libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0):
            return _error()
    finally:
        os.close(directory)
    return ""


def _error() -> str:
    return os.strerror(ctypes.get_errno()).lower()
