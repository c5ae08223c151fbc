"""The address that another process passed to bind, and facts about its descriptors."""

from __future__ import annotations

import os
import select
import socket
import struct
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.keeper.seccomp import caller
from gapless.keeper.seccomp.caller import Kind

ME = os.getpid()


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    """Return a TCP socket of this process."""
    with socket.socket() as one:
        yield one


def ipv4(host: str, port: int) -> bytes:
    """Return a struct sockaddr_in."""
    return struct.pack("=H", 2) + struct.pack(">H4s8x", port, socket.inet_aton(host))


def ipv6(host: str, port: int, scope: int = 0) -> bytes:
    """Return a struct sockaddr_in6."""
    packed = socket.inet_pton(socket.AF_INET6, host)
    start = struct.pack("=H", 10) + struct.pack(">HI16s", port, 0, packed)
    return start + struct.pack("=I", scope)


def test_ipv4_address_is_read() -> None:
    """It is a struct sockaddr_in of 16 bytes."""
    wanted = caller.Address(socket.AF_INET, "127.0.0.1", 8000)
    assert caller.parse_address(ipv4("127.0.0.1", 8000)) == wanted


def test_ipv6_address_is_read() -> None:
    """It is a struct sockaddr_in6 of 28 bytes."""
    wanted = caller.Address(socket.AF_INET6, "::", 65535)
    assert caller.parse_address(ipv6("::", 65535)) == wanted


def test_scope_of_a_link_local_address_is_kept() -> None:
    """Without the scope the address could not be bound."""
    found = caller.parse_address(ipv6("fe80::1", 80, scope=3))
    assert found is not None
    assert found.host == "fe80::1%3"


def test_address_in_a_larger_structure_is_read() -> None:
    """Some programs pass a struct sockaddr_storage of 128 bytes."""
    wanted = caller.Address(socket.AF_INET, "10.1.2.3", 1)
    assert caller.parse_address(ipv4("10.1.2.3", 1).ljust(128, b"\0")) == wanted


def test_unix_address_is_none() -> None:
    """Its path of 14 bytes makes it as long as an IPv4 address."""
    raw = struct.pack("=H", socket.AF_UNIX) + b"/tmp/unix.sock"
    assert len(raw) == 16
    assert caller.parse_address(raw) is None


@given(st.binary(max_size=130))
def test_garbage_is_an_address_or_none(raw: bytes) -> None:
    """A program may have any bytes in its memory; none of them is an error."""
    found = caller.parse_address(raw)
    assert found is None or 0 <= found.port <= 65535


def test_thread_of_a_process_is_found(sock: socket.socket) -> None:
    """The number of the first thread is that of the process."""
    del sock
    assert caller.process_of(ME) == ME


def test_dead_thread_is_an_error() -> None:
    """No thread has a number as high as this one."""
    with pytest.raises(OSError, match="2147483646"):
        caller.process_of(2147483646)


def test_duplicate_is_the_same_socket(sock: socket.socket) -> None:
    """It is the socket itself, not another socket with the same options."""
    copy = caller.duplicate(ME, sock.fileno())
    try:
        assert os.fstat(copy).st_ino == os.fstat(sock.fileno()).st_ino
        assert not os.get_inheritable(copy)
    finally:
        os.close(copy)


def test_duplicate_of_what_is_not_open_is_an_error() -> None:
    """The program may pass a number that is not open."""
    with pytest.raises(OSError, match="Bad file descriptor"):
        caller.duplicate(ME, 999_999)


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "expected"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, 0, Kind.TCP),
        (socket.AF_INET6, socket.SOCK_STREAM, 0, Kind.TCP),
        (socket.AF_INET, socket.SOCK_DGRAM, 0, Kind.UDP),
        (socket.AF_UNIX, socket.SOCK_STREAM, 0, Kind.UNIX),
        (socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, Kind.UNIX),
        (socket.AF_UNIX, socket.SOCK_DGRAM, 0, Kind.OTHER),
        (socket.AF_NETLINK, socket.SOCK_RAW, 0, Kind.OTHER),
        (socket.AF_INET, socket.SOCK_STREAM, 262, Kind.TCP),
    ],
    ids=["ipv4", "ipv6", "udp", "unix", "packets", "unix-dgram", "netlink", "mptcp"],
)
def test_kinds_of_sockets_are_told_apart(
    family: int, kind: int, protocol: int, expected: Kind
) -> None:
    """Multipath TCP counts as TCP: Go programs listen with it."""
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        pytest.skip(f"this kernel has no such socket: {error}")
    with sock:
        assert caller.kind(ME, sock.fileno()) is expected


def test_file_is_no_socket() -> None:
    """A program that binds a file gets its error from the kernel."""
    with tempfile.TemporaryFile() as file:
        assert caller.kind(ME, file.fileno()) is Kind.OTHER


def test_flags_are_those_of_the_descriptor(sock: socket.socket) -> None:
    """O_CLOEXEC belongs to the descriptor, O_NONBLOCK to the socket."""
    both = os.O_NONBLOCK | os.O_CLOEXEC
    sock.setblocking(False)
    assert caller.descriptor_flags(ME, sock.fileno()) & both == both
    sock.setblocking(True)
    sock.set_inheritable(True)
    assert caller.descriptor_flags(ME, sock.fileno()) & both == 0


def test_flags_of_what_is_gone_are_none() -> None:
    """A caller may die between two reads."""
    assert caller.descriptor_flags(2147483646, 0) == 0


def test_registered_socket_is_watched(sock: socket.socket) -> None:
    """A registration made before bind does not include the socket that is injected."""
    with select.epoll() as epoll, socket.socket() as other:
        epoll.register(other, select.EPOLLIN)
        assert not caller.is_watched_by_epoll(ME, sock.fileno())
        epoll.register(sock, 0)
        assert caller.is_watched_by_epoll(ME, sock.fileno())


def test_socket_registered_under_another_number_is_watched(
    sock: socket.socket,
) -> None:
    """The registration belongs to the socket, not to its number."""
    with select.epoll() as epoll, sock.dup() as twin:
        epoll.register(twin, select.EPOLLIN)
        assert caller.is_watched_by_epoll(ME, sock.fileno())


def test_nothing_is_watched_in_a_process_that_is_gone() -> None:
    """A caller may die between two reads."""
    assert not caller.is_watched_by_epoll(2147483646, 3)
