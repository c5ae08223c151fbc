"""Answer what instances do with UDP addresses.

A socket for each generation, and the group is steered as one of TCP is: so datagrams move
in one step, and those that wait in the queue of the old generation are read by it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from gapless.supervisor.memory.apps import AppRecord, Found
from gapless.supervisor.memory.instances import MULTICAST
from gapless.supervisor.sockets.addresses import RefusedError, has_peer, inode_of, shown
from gapless.supervisor.sockets.first_binds import is_served
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners


class DatagramCalls:
    """Gives instances their sockets for datagrams."""

    def __init__(
        self, listeners: Listeners, inodes_of: Callable[[AppRecord], AbstractSet[int]]
    ) -> None:
        self._listeners, self._inodes_of = listeners, inodes_of

    def bind(
        self, found: Found, host: str, port: int, sock: socket.socket
    ) -> str | None:
        """Let an instance have the address that it wants to bind.

        Returns "" if *sock* is bound now, the name of the socket to inject, or None if the
        kernel is to bind it.  Raises RefusedError.
        """
        app, generation, instance = found
        number, address = generation.sockets_of, shown(host, port, sock)
        if ipaddress.ip_address(host.partition("%")[0]).is_multicast:
            instance.has_bound(f"{MULTICAST}{address}")
            return None
        own = [e for e in self._listeners.of(app.name, number) if e.datagrams]
        here = [e for e in own if e.address == address and not e.leaving]
        if address in instance.bound and here:
            here = self._without_closed(app, here)
            if here and _is_session(sock):
                return None
        if any(has_peer(each.sock) for each in here):
            return None  # whoever got it would hear of nobody else
        if not here and not is_served(found, self._listeners, address, count=len(own)):
            return None
        # Before any of ours is set: who shares an address wants it so.
        shares = _shares(sock)
        try:
            held = self._listeners.bind(app.name, number, host, port, sock)
        except RefusedError as error:
            if not shares:
                raise
            if any(e.address == address for e in self._listeners.of_app(app.name)):
                # It is beside the group, and takes a part of what comes.
                instance.refusal = error.message
            return None
        instance.has_bound(address)
        return held

    def _without_closed(
        self, app: AppRecord, listeners: list[Listener]
    ) -> list[Listener]:
        """Let those sockets go that no process of an app holds any more.

        For an address that the instance had and binds again: one that waits for the next
        instance keeps what has come to it.
        """
        open_now = self._inodes_of(app)
        found = []
        for each in listeners:
            if inode_of(each.sock) in open_now:
                found.append(each)
            else:
                self._listeners.leave(each)
        return found


def _is_session(sock: socket.socket) -> bool:
    """Return whether a socket is to be one more of an address, for one peer.

    Servers of DTLS and TURN make one for each client, and connect it.  Those of which each
    takes a part of the datagrams have SO_REUSEPORT.
    """
    again = sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    return bool(again) and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


def _shares(sock: socket.socket) -> bool:
    options = (socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    return any(sock.getsockopt(socket.SOL_SOCKET, each) for each in options)
