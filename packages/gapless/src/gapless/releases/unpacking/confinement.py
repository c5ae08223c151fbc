"""What the kernel takes from a process that reads a tarball, before its first byte.

Each layer holds alone; a kernel without one of them has the others, and the code that
reads and writes is careful in any case.

    limits      memory, processor time, size of a file, descriptors, no core
    lifetime    it ends with its parent (prctl(2), PR_SET_PDEATHSIG), and by an alarm
    landlock    writes only below one directory, reads nothing, no program, no TCP (5.19)
    seccomp     no process, no program, no socket, no signal, no shared memory, no look at
                other processes, no mode or owner of a file by its path, no set-id bits,
                nothing of the machine (`refused_calls`)

Source: landlock(7), <linux/landlock.h>, seccomp(2), getrlimit(2).
"""

from __future__ import annotations

import ctypes
import itertools
import os
import resource
import signal
import struct

from gapless.base import interpreter
from gapless.keeper.seccomp.filter_program import NUMBERS
from gapless.releases.unpacking.refused_calls import MODES, REFUSED_CALLS

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_PR_SET_DUMPABLE = 4
_MODE_FILTER = 2
_GRACE_S = 10

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same on all machines."""
_GET_VERSION, _RULE_PATH_BENEATH = 1, 1
_LEAST_ABI = 2
"""Without REFER (Linux 5.19) no hard link could lead to another directory."""
_ALL_RIGHTS = {2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""On files, by version: EXECUTE to REFER, then TRUNCATE (3) and IOCTL_DEV (5)."""
_WRITE_FILE, _READ_DIR, _REMOVE_FILE = 1 << 1, 1 << 3, 1 << 5
_MAKE_DIR, _MAKE_REG, _MAKE_SYM, _REFER = 1 << 7, 1 << 8, 1 << 12, 1 << 13
_BELOW = (
    _WRITE_FILE | _READ_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER
)
_NET_ABI, _NET_RIGHTS = 4, 0b11  # bind and connect
_SCOPE_ABI, _SCOPES = 6, 0b11  # abstract sockets and signals

_X32_BIT = 0x40000000
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_JUMP_IF_ANY_BIT = 0x45
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16  # struct seccomp_data
_SET_ID = 0o6000
_RET_ALLOW, _RET_EPERM, _RET_KILL = 0x7FFF0000, 0x00050001, 0x80000000


def confine(
    *, parent: int, tree: int | None, memory_bytes: int, seconds: float, file_bytes: int
) -> None:
    """Confine this process for good; *tree* is a descriptor of where it may write.

    Whatever it needs to import it has imported.  Raises OSError if a limit cannot be set,
    ProcessLookupError if its parent has ended.
    """
    interpreter.import_now()
    _end_with(parent, seconds)
    _limit(memory_bytes, seconds, file_bytes)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # no other process of this user looks in
    if not _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        restrict_files(tree)
        refuse_calls()


def _end_with(parent: int, seconds: float) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise ProcessLookupError("its parent has ended")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_S)


def _limit(memory_bytes: int, seconds: float, file_bytes: int) -> None:
    for limit, wanted in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, max(1, int(seconds))),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 512),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (most, most))


def restrict_files(tree: int | None) -> bool:
    """Let this process write below *tree* only; return whether the kernel has landlock."""
    version = _libc.syscall(_CREATE_RULESET, None, 0, _GET_VERSION)
    if version < _LEAST_ABI:
        return False
    rights = _ALL_RIGHTS[min(version, max(_ALL_RIGHTS))]
    attributes = struct.pack("=Q", rights)
    if version >= _NET_ABI:
        attributes += struct.pack("=Q", _NET_RIGHTS)
    if version >= _SCOPE_ABI:
        attributes += struct.pack("=Q", _SCOPES)
    ruleset = _libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        if tree is not None:
            rule = struct.pack("=Qi", _BELOW, tree)
            if _libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0):
                return False
        return not _libc.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def refuse_calls() -> bool:
    """Let this process make no other; return whether the machine's calls are known."""
    machine = os.uname().machine
    if machine not in REFUSED_CALLS:
        return False
    numbers, modes = REFUSED_CALLS[machine], MODES[machine]
    # What is refused jumps over the rest and the first of the two returns.
    rest = 3 * len(modes)
    count = len(numbers) + rest
    by_mode = (
        (
            (_JUMP_IF_EQUAL, 0, 2, number),
            (_LOAD, 0, 0, _AT_ARGUMENTS + 8 * argument),
            (_JUMP_IF_ANY_BIT, rest - 3 * at - 2, rest - 3 * at - 3, _SET_ID),
        )
        for at, (number, argument) in enumerate(modes)
    )
    program = (
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 1, 0, NUMBERS[machine].architecture),
        (_RETURN, 0, 0, _RET_KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_JUMP_IF_AT_LEAST, count + 1, 0, _X32_BIT),
        *((_JUMP_IF_EQUAL, count - at, 0, each) for at, each in enumerate(numbers)),
        *itertools.chain.from_iterable(by_mode),
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, _RET_EPERM),
    )
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    )
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    )
    return not _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, header, 0, 0)
