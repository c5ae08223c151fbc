"""Facts about a process whose system call waits: its address to bind, its descriptors.

Rule: a fact counts only if the caller still waits after it was read
(`notifications.is_valid`): the caller may have died, and its number may belong to another
thread now.
All of it needs ptrace rights over the process (ptrace(2)): `ancestor` has them.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from enum import Enum

from gapless.keeper.seccomp import ancestor, paths

_IPPROTO_MPTCP = 262  # Go listens with it where the kernel has it, Linux 5.6
_IPV4_BYTES, _IPV6_BYTES, _IPV6_BYTES_RFC2133 = 16, 28, 24
_LONGEST_ADDRESS_BYTES = 128  # struct sockaddr_storage
_EPOLL_LINK = "anon_inode:[eventpoll]"


def process_of(thread_id: int) -> int:
    """Return the process that a thread belongs to.  Raises OSError."""
    with open(f"/proc/{thread_id}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Tgid:"):
                return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))


# --- the address ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Address:
    """An internet address that a program wants to bind."""

    family: int
    host: str
    port: int


def read_raw_address(thread_id: int, pointer: int, length: int) -> bytes:
    """Return the struct sockaddr of a thread.  Raises OSError."""
    return paths.read_bytes(thread_id, pointer, min(length, _LONGEST_ADDRESS_BYTES))


def parse_address(raw: bytes) -> Address | None:
    """Return the internet address in a struct sockaddr, or None if it is another kind."""
    if len(raw) < _IPV4_BYTES:
        return None
    (family,) = struct.unpack_from("=H", raw)
    (port,) = struct.unpack_from(">H", raw, 2)
    if family == socket.AF_INET:
        return Address(family, socket.inet_ntop(family, raw[4:8]), port)
    if family == socket.AF_INET6 and len(raw) >= _IPV6_BYTES_RFC2133:
        host = socket.inet_ntop(family, raw[8:24])
        scope = struct.unpack_from("=I", raw, 24)[0] if len(raw) >= _IPV6_BYTES else 0
        return Address(family, f"{host}%{scope}" if scope else host, port)
    return None


def shares_our_network(thread_id: int) -> bool:
    """Return whether an address means the same to a thread.  Raises OSError."""
    ours, theirs = os.stat("/proc/self/ns/net"), os.stat(f"/proc/{thread_id}/ns/net")
    return os.path.samestat(ours, theirs)


# --- descriptors ----------------------------------------------------------------------


def duplicate(pid: int, descriptor: int) -> int:
    """Return our own copy of another process's descriptor (pidfd_getfd(2)).

    Raises OSError: EPERM without ptrace rights, EBADF, ESRCH.
    """
    return ancestor.duplicate(pid, descriptor)


class Kind(Enum):
    """What kind of socket a descriptor is."""

    TCP = "tcp"
    UDP = "udp"
    UNIX = "unix"  #: a stream, or a sequence of packets, on a Unix-domain address
    OTHER = "other"  #: another kind, or no socket at all


def kind(pid: int, descriptor: int) -> Kind:
    """Return what kind of socket a descriptor of a process is.  Raises OSError."""
    if not os.readlink(f"/proc/{pid}/fd/{descriptor}").startswith("socket:"):
        return Kind.OTHER  # the user's own file system may keep us from closing it
    copy = duplicate(pid, descriptor)
    try:
        sock = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)  # it is not a socket: the program gets the error from the kernel
        return Kind.OTHER
    with sock:
        if sock.family == socket.AF_UNIX:
            connects = sock.type in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
            return Kind.UNIX if connects else Kind.OTHER
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return Kind.OTHER
        if sock.proto in (socket.IPPROTO_TCP, _IPPROTO_MPTCP):
            return Kind.OTHER if _is_connected(sock) else Kind.TCP
        return Kind.UDP if sock.proto == socket.IPPROTO_UDP else Kind.OTHER


def _is_connected(sock: socket.socket) -> bool:
    """Return whether a TCP socket is a connection: the kernel binds none of those.

    One is not waited for when it is closed here: its program may have closed it meanwhile,
    and have asked to wait until the peer has all (SO_LINGER, socket(7)).
    """
    try:
        sock.getpeername()
    except OSError:
        return False
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
    return True


def descriptor_flags(pid: int, descriptor: int) -> int:
    """Return O_NONBLOCK, O_CLOEXEC... of a descriptor, 0 if the process is gone.

    From /proc/PID/fdinfo (proc(5)).
    """
    for words in _fdinfo(pid, descriptor):
        if words[0] == b"flags:":
            return int(words[1], 8)
    return 0


def is_watched_by_epoll(pid: int, descriptor: int) -> bool:
    """Return whether an epoll set of the process watches the socket already.

    The registration belongs to the socket, not to its number (epoll(7)): events of a
    socket that is put in its place would never be reported.
    """
    try:
        inode = os.stat(f"/proc/{pid}/fd/{descriptor}").st_ino
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                is_epoll = os.readlink(f"/proc/{pid}/fd/{name}") == _EPOLL_LINK
            except OSError:
                continue
            if is_epoll and _watches(pid, int(name), descriptor, inode):
                return True
    except OSError:
        return False  # the process or its descriptor is gone
    return False


def _watches(pid: int, epoll: int, descriptor: int, inode: int) -> bool:
    for words in _fdinfo(pid, epoll):
        if words[0] != b"tfd:":
            continue
        inodes = [word[4:] for word in words if word.startswith(b"ino:")]
        if inodes and int(inodes[0], 16) == inode:
            return True
        if not inodes and int(words[1]) == descriptor:  # before Linux 4.13
            return True
    return False


def _fdinfo(pid: int, descriptor: int) -> list[list[bytes]]:
    try:
        with open(f"/proc/{pid}/fdinfo/{descriptor}", "rb") as file:
            return [line.split() for line in file if line.strip()]
    except OSError:
        return []
