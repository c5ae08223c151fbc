"""Which socket of an SO_REUSEPORT group takes the next connection.

A classic BPF program on the group returns the index of the socket
(SO_ATTACH_REUSEPORT_CBPF, socket(7)).  It reads the packet from its network header on
(SKF_NET_OFF), so it can tell one source from all others.  An index outside the group
lets the kernel choose by its hash.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from dataclasses import dataclass

from gapless.supervisor.kernel.source_buckets import packed

_SO_ATTACH_REUSEPORT_CBPF = 51
_SO_BINDTOIFINDEX, _NO_INTERFACE = 62, 0x7FFFFFFE
_TCP_SAVE_SYN = 27
_IP_MINTTL, _IPV6_MINHOPCOUNT = 21, 73
NET_OFF = 0xFFF00000  # SKF_NET_OFF, <linux/filter.h>
LOAD_WORD, LOAD_HALF, LOAD_BYTE = 0x20, 0x28, 0x30
JUMP_IF_EQUAL = 0x15
SHIFT_RIGHT, RETURN = 0x74, 0x06

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant (struct sock_filter)."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A source whose connections go to a socket of their own."""

    host: str
    port: int
    index: int


@dataclass(frozen=True, slots=True)
class Group:
    """The sockets of a group, by name, in the order of the kernel's indices."""

    order: tuple[str, ...]

    def joined(self, name: str) -> Group:
        """Return the group after a socket began to listen: it comes last."""
        return Group((*self.order, name))

    def left(self, name: str) -> Group:
        """Return the group after a socket was closed: the last one takes its place."""
        place = self.order.index(name)
        *rest, last = self.order
        if name != last:
            rest[place] = last
        return Group(tuple(rest))

    def index(self, name: str) -> int:
        """Return the kernel's index of a socket.  Raises ValueError."""
        return self.order.index(name)


def steer_to(index: int, probe: Probe | None = None) -> tuple[Instruction, ...]:
    """Return the program that sends new connections to *index*.

    Connections from exactly the address and port of *probe* go to its own index.
    """
    first = () if probe is None else aimed(probe)
    return (*first, (RETURN, 0, 0, index))


def aimed(probe: Probe) -> tuple[Instruction, ...]:
    """Return the first part of a program: what it does with a probe; others go on.

    IPv4 on a dual-stack IPv6 socket arrives with an IPv4 header: the version decides.
    """
    address = packed(probe.host)
    version, address_at, port_at = (4, 12, 20) if len(address) == 4 else (6, 8, 40)
    words = struct.unpack(f">{len(address) // 4}I", address)
    tests = [
        (LOAD_BYTE, NET_OFF),
        (SHIFT_RIGHT, 4),
        (JUMP_IF_EQUAL, version),
        (LOAD_HALF, NET_OFF + port_at),
        (JUMP_IF_EQUAL, probe.port),
    ]
    for number, word in enumerate(words):
        tests.append((LOAD_WORD, NET_OFF + address_at + 4 * number))
        tests.append((JUMP_IF_EQUAL, word))
    program: list[Instruction] = []
    for place, (code, constant) in enumerate(tests):
        # A test that fails jumps over all the rest and over the probe's own return.
        otherwise = len(tests) - place if code == JUMP_IF_EQUAL else 0
        program.append((code, 0, otherwise, constant))
    return (*program, (RETURN, 0, 0, probe.index))


def attach(sock: socket.socket, program: tuple[Instruction, ...]) -> None:
    """Give the group of a listening socket its program.  Raises OSError."""
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    )
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, header)


def drop_syn(sock: socket.socket) -> None:
    """Let no connection begin on a socket that does not listen yet.

    A packet with a lower time to live than 255 is dropped (IP_MINTTL, ip(7); RFC 5082),
    so a SYN that does not come from a neighbour with that very value is not answered,
    and the client tries again a second later.  A filter that drops SYN would do the same,
    but newer kernels (6.18) let only root give one to a TCP socket.  Raises OSError.
    """
    sock.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, 255)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT, 255)


def save_syn(sock: socket.socket) -> None:
    """Let each new connection of a listening socket remember its first packet (tcp(7)).

    Whoever accepts it may read that once.  Raises OSError.
    """
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_SAVE_SYN, 1)


def hide(sock: socket.socket) -> None:
    """Let new connections pass a listening socket by, to a wider one of the same port.

    The kernel prefers the socket with the narrower address (inet_lookup_listener), unless
    it is bound to another interface (SO_BINDTOIFINDEX, Linux 5.1; socket(7)).  Handshakes
    under way complete, and what is queued can be accepted.  Only CAP_NET_RAW undoes it, or
    does it again.  Raises OSError.
    """
    if not is_hidden(sock):
        sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NO_INTERFACE)


def is_hidden(sock: socket.socket) -> bool:
    """Return whether new connections pass a listening socket by."""
    found = sock.getsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX)
    return found == _NO_INTERFACE
