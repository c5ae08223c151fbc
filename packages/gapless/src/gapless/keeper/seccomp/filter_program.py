"""The seccomp filter: which system calls wait, and how a process installs it.

Every `bind` and `listen` waits.  A filter cannot read memory, where addresses are: what
a bind is about is known to who receives it.

An app that serves on a Unix-domain path has more calls that wait: `unlink` and `unlinkat`,
by which programs would remove the path from under the next generation, and `connect`, by
which some ask before they bind whether somebody answers.  There the filter goes by the
length of the address: 16 is IPv4 and 28 is IPv6, and those do not wait (seccomp(2)).

An app that connects to its port before it binds it has every `connect` wait: which port one
is about is in memory, and a filter cannot be taken off once the port is bound.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemCallNumbers:
    """The numbers of one machine, from <linux/audit.h> and <asm/unistd.h>."""

    architecture: int
    seccomp: int
    bind: int
    listen: int
    connect: int
    unlink: int | None
    """None where libraries have only `unlinkat`."""
    unlinkat: int

    def named(self, number: int) -> str:
        """Return the name of a system call; empty if it never waits."""
        names = ("bind", "listen", "connect", "unlink", "unlinkat")
        return next((each for each in names if getattr(self, each) == number), "")


NUMBERS = {
    "x86_64": SystemCallNumbers(
        architecture=0xC000003E,
        seccomp=317,
        bind=49,
        listen=50,
        connect=42,
        unlink=87,
        unlinkat=263,
    ),
    "aarch64": SystemCallNumbers(
        architecture=0xC00000B7,
        seccomp=277,
        bind=200,
        listen=201,
        connect=203,
        unlink=None,
        unlinkat=35,
    ),
}
"""By machine, as `os.uname` names it."""

_PR_SET_NO_NEW_PRIVS = 38
_CAP_SYS_ADMIN = 21
_SET_MODE_FILTER = 1
# Without SPEC_ALLOW kernels before 5.16 slow a filtered program down (spec_ctrl).
_FLAG_SPEC_ALLOW, _FLAG_NEW_LISTENER = 1 << 2, 1 << 3
_FLAG_WAIT_KILLABLE_RECV = 1 << 5  # Linux 5.19
_RET_USER_NOTIF, _RET_ALLOW = 0x7FC00000, 0x7FFF0000

_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_LENGTH = 0, 4, 32  # struct seccomp_data; args[2]
_IPV4_BYTES, _IPV6_BYTES = 16, 28

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant (struct sock_filter)."""


def filter_program(
    machine: str, *, paths: bool = False, connects: bool = False
) -> tuple[Instruction, ...]:
    """Return the filter for a machine (`os.uname().machine`).  Raises LookupError.

    *paths*: the calls of an app that serves on a Unix-domain path wait as well.
    *connects*: so does each `connect`.
    System calls of the x32 ABI have bit 30 set and match no number: they are allowed.
    """
    numbers = NUMBERS[machine]
    waits = [numbers.bind, numbers.listen]
    lengths: tuple[Instruction, ...] = ()
    if paths:
        waits += [e for e in (numbers.unlink, numbers.unlinkat) if e is not None]
    if connects:
        waits.append(numbers.connect)
    elif paths:
        lengths = (
            (_JUMP_IF_EQUAL, 0, 3, numbers.connect),
            (_LOAD, 0, 0, _AT_LENGTH),
            (_JUMP_IF_EQUAL, 1, 0, _IPV4_BYTES),
            (_JUMP_IF_EQUAL, 0, 1, _IPV6_BYTES),
        )
    rest = len(waits) + len(lengths)
    return (
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 0, rest + 1, numbers.architecture),
        (_LOAD, 0, 0, _AT_NUMBER),
        # A call that waits jumps over the rest and the first of the two returns.
        *((_JUMP_IF_EQUAL, rest - at, 0, each) for at, each in enumerate(waits)),
        *lengths,
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, _RET_USER_NOTIF),
    )


def needs_no_new_privs() -> bool:
    """Return whether the kernel requires no_new_privs: without CAP_SYS_ADMIN it does."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"CapEff:"):
                return not int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1
    return True


def install(*, no_new_privs: bool, paths: bool = False, connects: bool = False) -> int:
    """Put this process under the filter for good; return the notification descriptor.

    *no_new_privs* is required without CAP_SYS_ADMIN.  It takes the power from set-id
    programs, so root does without.  Raises OSError: EBUSY inside another such filter,
    EACCES if *no_new_privs* is required, ENOSYS on an unknown machine.
    """
    machine = os.uname().machine
    if machine not in NUMBERS:
        raise OSError(errno.ENOSYS, f"the system calls of {machine} are not known")
    if no_new_privs and _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs is refused")
    program = filter_program(machine, paths=paths, connects=connects)
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    )
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    )
    flags = _FLAG_SPEC_ALLOW | _FLAG_NEW_LISTENER
    error_number = errno.EINVAL
    for attempt in (flags | _FLAG_WAIT_KILLABLE_RECV, flags):
        seccomp = NUMBERS[machine].seccomp
        descriptor = int(_libc.syscall(seccomp, _SET_MODE_FILTER, attempt, header))
        if descriptor >= 0:
            return descriptor
        error_number = ctypes.get_errno()
        if error_number != errno.EINVAL:
            break
    raise OSError(error_number, os.strerror(error_number))
