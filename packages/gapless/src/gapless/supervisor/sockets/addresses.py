"""Addresses that apps bind: how they are written, and which other program holds one."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection

from gapless.base.errors import GaplessError
from gapless.supervisor.decide.addresses import OF_ANOTHER, ONLY_V6, overlap
from gapless.supervisor.kernel import processes, sock_diag

_IPPROTO_MPTCP = 262


class RefusedError(GaplessError):
    """An address cannot be bound; `number` is the errno that the program gets."""

    def __init__(self, number: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.number = number


def address_text(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shown(host: str, port: int, sock: socket.socket) -> str:
    """Return the address that a socket is to have, as people read it."""
    before = "udp:" if sock.type == socket.SOCK_DGRAM else ""
    return f"{before}{address_text(host, port)}"


def group_of(host: str, port: int, sock: socket.socket) -> str:
    """Return the name of the group that a socket is to be in.

    Sockets of several devices may have one address (SO_BINDTODEVICE, socket(7)).
    """
    only = ""
    if device := device_of(sock):
        host = f"{host}%{device}"
    if sock.family == socket.AF_INET6:
        option = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        only = ONLY_V6 if option else ""
    return f"{shown(host, port, sock)}{only}"


def refuse_stranger(app: str, host: str, port: int, sock: socket.socket) -> None:
    """Refuse an address that another program holds.  Raises RefusedError.

    A stranger in the SO_REUSEPORT group would take a share of the connections.  So the
    address is bound once as a program without SO_REUSEPORT would (socket(7)); with
    SO_REUSEADDR two could have the same one of UDP.
    """
    with socket.socket(sock.family, sock.type) as trial:
        if sock.type == socket.SOCK_STREAM:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        copy_v6only(sock, trial)
        copy_reach(sock, trial)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise refusal(app, shown(host, port, sock), error) from error


def refuse_others(app: str, group: str, own: set[int]) -> None:
    """Refuse an address if a program that is not of ours listens there.

    Where the app has a narrower address of the port already, it cannot be tried as in
    `refuse_stranger`.  *own* has the inodes of all our sockets.  Raises RefusedError.
    """
    port = group.removesuffix(ONLY_V6).rpartition(":")[2]
    try:
        found = sock_diag.listeners(int(port))
    except OSError:
        return  # a program that shares no port is refused by the kernel
    for each in found:
        theirs = address_text(*each.address) + (ONLY_V6 if each.v6only else "")
        if each.inode not in own and overlap(theirs, group):
            error = OSError(errno.EADDRINUSE, "")
            raise refusal(app, group.removesuffix(ONLY_V6), error, own)


def of_another_app(app: str, group: str, others: str) -> RefusedError:
    """Return why an address that another app has cannot be bound.

    Who shares an address takes a part of its connections: that has to be meant, by both.
    `decide.last_words` says what to write.
    """
    where = group.removesuffix(ONLY_V6)
    return RefusedError(errno.EADDRINUSE, f"{app}: {where}{OF_ANOTHER}{others}")


def too_many_apps(app: str, port: int, most: int) -> RefusedError:
    """Return why one more app cannot share a port."""
    return RefusedError(
        errno.EADDRINUSE,
        f"{app}: {most} apps share port {port} already",
        "stop one of them",
    )


def narrower(app: str, address: str, wider: str) -> RefusedError:
    """Return why an address inside the one that serves now cannot be bound beside it."""
    return RefusedError(
        errno.EADDRINUSE,
        f"{app}: {address} is a part of {wider}, on which the app serves: its connections "
        "would come to the new generation before that is proven",
        f"let it listen on {wider}, or stop {app} and start it",
    )


def refusal(
    app: str, where: str, error: OSError, own: Collection[int] = ()
) -> RefusedError:
    """Return the error that says why an address could not be bound, and what to do."""
    number = error.errno or errno.EINVAL
    hint = ""
    reason = os.strerror(number).lower()
    if number == errno.EADDRINUSE:
        port = int(where.rpartition(":")[2])
        holder = "" if where.startswith("udp:") else _holder(port, own)
        reason = "another program holds the port"
        if holder:
            reason = f"the port is held by {holder}"
        hint = "stop that program, or give the app another port"
    elif number == errno.EACCES:
        hint = (
            "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE: "
            "run the supervisor with AmbientCapabilities=CAP_NET_BIND_SERVICE"
        )
    return RefusedError(number, f"{app}: could not bind {where}: {reason}", hint)


def low_port_refusal(app: str, port: int) -> str:
    """Return why an app does not get a port that its user may not have, and what to do."""
    return (
        f"{app}: could not bind port {port}: the app's user may not have ports below "
        "net.ipv4.ip_unprivileged_port_start; name it in the configuration of the app: "
        f'listen = ["0.0.0.0:{port}"]'
    )


def _holder(port: int, own: Collection[int]) -> str:
    for stranger in sock_diag.listeners(port):
        if stranger.inode in own:
            continue
        found = processes.holder_of(stranger.inode)
        if found is not None:
            return f"{found[1]} (pid {found[0]})"
    return ""


def is_bound_to(sock: socket.socket, host: str, port: int) -> bool:
    """Return whether a socket is bound to an address, and may share it (`SO_REUSEPORT`)."""
    bound_host, bound_port = sock.getsockname()[:2]
    shares = sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    # The scope of an IPv6 address is a number in one, a name in the other.
    same = bound_host.partition("%")[0] == host.partition("%")[0]
    return bool(shares) and same and bound_port == port


def inode_of(sock: socket.socket) -> int:
    """Return the number of a socket in the kernel: the same for every copy of it."""
    return os.fstat(sock.fileno()).st_ino


def copy_v6only(one: socket.socket, other: socket.socket) -> None:
    """Let one socket be for IPv6 only if the other is."""
    if one.family == socket.AF_INET6:
        only = one.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)


def is_multipath(sock: socket.socket) -> bool:
    """Return whether a socket is one of Multipath TCP, as those of Go programs are."""
    return sock.proto == _IPPROTO_MPTCP


_OF_REACH = (
    (socket.SOL_SOCKET, socket.SO_MARK),
    (socket.IPPROTO_IP, 15),  # IP_FREEBIND
    (socket.IPPROTO_IP, socket.IP_TRANSPARENT),
)


def give_owner(one: socket.socket, another: socket.socket) -> None:
    """Let a socket be of the user of another one: a group has sockets of one user.

    Raises OSError.
    """
    owner = os.fstat(one.fileno()).st_uid
    if os.fstat(another.fileno()).st_uid != owner:
        os.fchown(another.fileno(), owner, -1)


def tcp_socket(family: int, owner: int | None) -> socket.socket:
    """Return a TCP socket of one version of IP.  Raises OSError.

    It is of the user *owner*, or of this process's.
    """
    found = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if owner is not None and owner != os.geteuid():
        os.fchown(found.fileno(), owner, -1)
    return found


def plain_tcp(sock: socket.socket) -> socket.socket:
    """Return a TCP socket to put in the place of a Multipath TCP one.

    The kernel steers no group of those: SO_ATTACH_REUSEPORT_CBPF fails with EOPNOTSUPP.
    What says where it may be reached is kept, and its user.  Raises OSError.
    """
    found = socket.socket(sock.family, socket.SOCK_STREAM)
    give_owner(sock, found)
    copy_v6only(sock, found)
    copy_reach(sock, found)
    os.set_blocking(found.fileno(), os.get_blocking(sock.fileno()))
    return found


def device_of(sock: socket.socket) -> str:
    """Return the device that a socket is bound to; empty if it is to none, or hidden."""
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    except OSError:
        return ""  # there is none of its number
    return found.rstrip(b"\0").decode(errors="replace")


def has_peer(sock: socket.socket) -> bool:
    """Return whether a socket is connected."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def copy_reach(one: socket.socket, other: socket.socket) -> None:
    """Let one socket be reached as the other is, and be bound where that may be.

    Raises OSError.
    """
    if device := device_of(one):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    for level, option in _OF_REACH:
        if value := one.getsockopt(level, option):
            other.setsockopt(level, option, value)


def copy_of(sock: socket.socket) -> socket.socket:
    """Return another descriptor of the same socket.

    Not `sock.dup()`: that makes the socket blocking for every process that holds it, and
    of two programs that wake for one connection the second would hang in accept.
    """
    return socket.socket(fileno=os.dup(sock.fileno()))


def share_address(sock: socket.socket) -> None:
    """Let a socket be bound beside others of its group."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
