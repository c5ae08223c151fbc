"""What the kernel tells of Unix-domain sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from gapless.supervisor.kernel import queues, unix_diag


def test_queue_and_connections_are_seen(tmp_path: Path) -> None:
    """Who waits to be accepted, and what waits to be read."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert queues.queued(listener) == 0
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for each in clients:
            each.connect(path)
        assert queues.queued(listener) == 3
        accepted, _ = listener.accept()
        with accepted:
            assert queues.queued(listener) == 2
            inode = os.fstat(accepted.fileno()).st_ino
            found = {each.inode: each for each in unix_diag.connections()}
            assert found[inode].name == path
            assert not found[inode].is_moving
            clients[0].send(b"GET")
            found = {each.inode: each for each in unix_diag.connections()}
            assert found[inode].unread == 3
            accepted.recv(3)
            accepted.send(b"OK")
            found = {each.inode: each for each in unix_diag.connections()}
            assert found[inode].is_moving
        for each in clients:
            each.close()


def test_datagrams_that_wait_are_seen() -> None:
    """The kernel does not count them for us: 1 stands for some."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        assert queues.queued(sock) == 0
        sock.sendto(b"", sock.getsockname())
        sock.sendto(b"x", sock.getsockname())
        assert queues.queued(sock) == 1
