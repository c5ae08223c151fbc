"""What says where a socket may be reached: its device, its peer, addresses of nobody."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest

from gapless.supervisor.sockets.addresses import (
    RefusedError,
    group_of,
    inode_of,
    refuse_stranger,
)
from gapless.supervisor.sockets.listeners import Listeners
from rig.wait import free_port
from tests.unit.supervisor.sockets.test_calls_by_name import Keeper

IP_FREEBIND = 15
OF_NOBODY = "198.51.100.7"  # RFC 5737


def test_an_address_that_this_host_may_get_later_is_no_strangers() -> None:
    """With IP_FREEBIND a program binds it before the interface has it."""
    with socket.socket() as sock:
        with pytest.raises(RefusedError, match="cannot assign"):
            refuse_stranger("app", OF_NOBODY, 8000, sock)
        sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        refuse_stranger("app", OF_NOBODY, 8000, sock)


def test_each_device_has_a_socket_of_its_own() -> None:
    """One address on two devices is two groups, as it is to the kernel."""
    listeners, port = Listeners(cast("Any", Keeper())), free_port()
    with socket.socket() as sock, socket.socket() as other:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        assert group_of("0.0.0.0", port, sock) == f"0.0.0.0%lo:{port}"
        assert listeners.bind("app", 1, "0.0.0.0", port, sock) == ""
        held = listeners.bind("app", 1, "127.0.0.1", port, other)
        assert held == ""  # and not the socket of the device
        found = listeners.of("app", 1)
        assert [each.address for each in found] == [
            f"0.0.0.0:{port}",
            f"127.0.0.1:{port}",
        ]
        for each in found:
            each.sock.close()


def test_a_socket_with_a_peer_is_no_obstacle_to_the_next_one() -> None:
    """A client of UDP with a port of its own is connected, and out of its group."""
    listeners, port = Listeners(cast("Any", Keeper())), free_port()
    with (
        socket.socket(type=socket.SOCK_DGRAM) as peer,
        socket.socket(type=socket.SOCK_DGRAM) as before,
        socket.socket(type=socket.SOCK_DGRAM) as after,
    ):
        peer.bind(("127.0.0.1", 0))
        for number, sock in (1, before), (2, after):
            assert listeners.bind("app", number, "127.0.0.1", port, sock) == ""
            sock.connect(peer.getsockname())
            listeners.steer("app", number)
        assert after.getsockname() == before.getsockname()
        assert inode_of(after) in listeners.inodes("app", 2)
        for each in listeners.of_app("app"):
            each.sock.close()
