"""A private network for this process and all that it starts (network_namespaces(7)).

In it every port is free, so that an app whose port is fixed in its code can run beside the
one that serves.  It has the loopback device alone: other machines, and what listens on this
one, are not reached.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct

from gapless.base.errors import UnavailableError

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1
_LOW_PORTS = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> None:
    """Leave the network of this machine for good; this process has one thread only.

    Raises UnavailableError where the kernel does not let this user do it.
    """
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWNET):
        if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
            reason = os.strerror(ctypes.get_errno()).lower()
            raise UnavailableError(
                f"a private network could not be made: {reason}",
                hint="it needs root, or user namespaces for ordinary users "
                "(user.max_user_namespaces, kernel.unprivileged_userns_clone, AppArmor)",
            )
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    _loopback_up()
    with contextlib.suppress(OSError):
        # The port of the code may be a low one, and nobody else is here.
        _write(_LOW_PORTS, "0")


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        (flags,) = struct.unpack_from("H", answer, 16)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
