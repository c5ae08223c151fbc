"""The filter itself: which system calls wait, and how a process gets under it.

A filter cannot read memory, where addresses are, so it goes by their length: 16 is
IPv4, 28 is IPv6, beyond 110 no Unix-domain address fits.  Binds of all other lengths
never wait, and all other calls are untouched (seccomp(2)).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)

# (audit architecture, seccomp, bind, listen), from <asm/unistd.h>
CALLS = {
    "x86_64": (0xC000003E, 317, 49, 50),
    "aarch64": (0xC00000B7, 277, 200, 201),
}

_PR_SET_NO_NEW_PRIVS = 38
_CAP_SYS_ADMIN = 21
_SET_MODE_FILTER = 1
# Without SPEC_ALLOW kernels before 5.16 slow a filtered program down (spec_ctrl).
_FLAG_SPEC_ALLOW, _FLAG_NEW_LISTENER = 1 << 2, 1 << 3
_FLAG_WAIT_KILLABLE_RECV = 1 << 5  # Linux 5.19
_RET_USER_NOTIF, _RET_ALLOW = 0x7FC00000, 0x7FFF0000

_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_GREATER, _RETURN = 0x20, 0x15, 0x25, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_LENGTH = 0, 4, 32  # struct seccomp_data; args[2]
_IPV4_BYTES, _IPV6_BYTES, _LONGEST_UNIX_BYTES = 16, 28, 110

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant (struct sock_filter)."""


def filter_program(machine: str) -> tuple[Instruction, ...]:
    """Return the filter for a machine (`os.uname().machine`).  Raises LookupError.

    Calls of the x32 ABI have bit 30 set and match no number: they are allowed.
    """
    architecture, _, bind, listen = CALLS[machine]
    return (
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 0, 7, architecture),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_JUMP_IF_EQUAL, 6, 0, listen),
        (_JUMP_IF_EQUAL, 0, 4, bind),
        (_LOAD, 0, 0, _AT_LENGTH),
        (_JUMP_IF_EQUAL, 3, 0, _IPV4_BYTES),
        (_JUMP_IF_EQUAL, 2, 0, _IPV6_BYTES),
        (_JUMP_IF_GREATER, 1, 0, _LONGEST_UNIX_BYTES),
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, _RET_USER_NOTIF),
    )


def needs_no_new_privs() -> bool:
    """Tell whether the kernel asks for no_new_privs: without CAP_SYS_ADMIN it does."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"CapEff:"):
                return not int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1
    return True


def install(*, no_new_privs: bool) -> int:
    """Put this process under the filter for good; return the notification descriptor.

    *no_new_privs* is needed without CAP_SYS_ADMIN; it takes the power from set-id
    programs, so root does without.  Raises OSError: EBUSY inside another such filter,
    EACCES if *no_new_privs* is needed, ENOSYS on an unknown machine.
    """
    machine = os.uname().machine
    if machine not in CALLS:
        raise OSError(errno.ENOSYS, f"the system calls of {machine} are not known")
    if no_new_privs and _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs is refused")
    program = filter_program(machine)
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    )
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    )
    flags = _FLAG_SPEC_ALLOW | _FLAG_NEW_LISTENER
    number = errno.EINVAL
    for wanted in (flags | _FLAG_WAIT_KILLABLE_RECV, flags):
        call = CALLS[machine][1]
        descriptor = int(_libc.syscall(call, _SET_MODE_FILTER, wanted, header))
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number != errno.EINVAL:
            break
    raise OSError(number, os.strerror(number))
