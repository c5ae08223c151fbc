"""Run a command to which the kernel does not tell of its sockets: `PREFIX command...`.

A seccomp filter, which what is started inherits, refuses netlink sockets of sock_diag(7),
as `RestrictAddressFamilies=` of a unit does, or a kernel without them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

PREFIX = (sys.executable, __file__)
_NETLINK_SOCK_DIAG = 4
_AF_NETLINK = 16
_SOCKET = {"x86_64": 41, "aarch64": 198}
_NUMBER, _FIRST, _THIRD = 0, 16, 32  # offsets in struct seccomp_data, little-endian
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # bpf: ld [k]; jeq #k; ret #k
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000 | errno.EPROTONOSUPPORT
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2


def _program() -> bytes:
    """Return the filter: three questions, each of which skips to the end if not equal."""
    wanted = (
        (_NUMBER, _SOCKET[platform.machine()]),
        (_FIRST, _AF_NETLINK),
        (_THIRD, _NETLINK_SOCK_DIAG),
    )
    lines = []
    for left, (offset, value) in zip((5, 3, 1), wanted, strict=True):
        lines.append((_LOAD, 0, 0, offset))
        lines.append((_EQUAL, 0, left, value))
    lines += [(_RETURN, 0, 0, _FAIL), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _install() -> None:
    code = _program()
    instructions = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(program)),
    ):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    _install()
    os.execvp(sys.argv[1], sys.argv[1:])
