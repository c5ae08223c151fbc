"""The behaviour of the kernel that gapless relies on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import subprocess
import sys
import termios
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.base import interpreter
from gapless.supervisor.kernel import connections, sock_diag
from gapless.supervisor.kernel.connections import Connection, is_busy
from gapless.supervisor.observe import calls
from gapless.supervisor.sockets import steering
from rig.wait import until


def listener(port: int = 0) -> socket.socket:
    """Return a listening socket of an SO_REUSEPORT group."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(128)
    sock.settimeout(5)
    return sock


@given(st.permutations(range(6)))
def test_a_group_never_names_two_sockets_by_one_index(order: list[int]) -> None:
    """After each leaves, all the others are in it, once."""
    group = steering.Group(tuple(map(str, range(6))))
    for number, name in enumerate(order, 1):
        group = group.left(str(name))
        assert set(group.order) == {str(n) for n in order[number:]}


def test_steering_reaches_the_socket_that_the_group_names() -> None:
    """Also while sockets leave in any order, the steered one among them."""
    first = listener()
    port = first.getsockname()[1]
    sockets = {"0": first} | {str(n): listener(port) for n in range(1, 5)}
    group = steering.Group(tuple(sockets))
    chosen = random.Random(7)  # the same order in every run
    try:
        while True:
            for name in group.order:
                program = steering.steer_to(group.index(name))
                steering.attach(next(iter(sockets.values())), program)
                with socket.create_connection(("127.0.0.1", port), 5):
                    sockets[name].accept()[0].close()
            if len(group.order) == 1:
                break
            gone = chosen.choice(group.order)
            sockets.pop(gone).close()
            group = group.left(gone)
    finally:
        for sock in sockets.values():
            sock.close()


def test_a_probe_reaches_its_own_socket_and_users_the_other() -> None:
    """The probe is found by its source address and port."""
    users, trial = (old := listener()), listener(old.getsockname()[1])
    with users, trial, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        source = steering.Probe("127.0.0.1", probe.getsockname()[1], 1)
        steering.attach(users, steering.steer_to(0, source))
        probe.connect(users.getsockname())
        trial.accept()[0].close()
        for _ in range(10):
            with socket.create_connection(users.getsockname(), 5):
                users.accept()[0].close()


def test_a_quiesced_group_begins_nothing_new_and_loses_nothing() -> None:
    """A client that connects meanwhile waits, and is accepted once steering is back."""
    users = listener()
    with users, socket.socket() as shut:
        before = socket.create_connection(users.getsockname(), 5)
        shut.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        steering.drop_syn(shut)
        shut.bind(users.getsockname())
        steering.attach(users, steering.steer_to(0))
        shut.listen()
        steering.attach(users, steering.steer_to(1))
        late = socket.socket()
        late.settimeout(0.2)
        with pytest.raises(TimeoutError):
            late.connect(users.getsockname())
        assert sock_diag.queued(users) == 1
        accepted = users.accept()[0]
        before.sendall(b"question")
        assert accepted.recv(100) == b"question"
        steering.attach(users, steering.steer_to(0))
        with socket.create_connection(users.getsockname(), 5):
            users.accept()[0].close()
        for each in (accepted, before, late):
            each.close()


def seen(**changes: object) -> Connection:
    """Return an idle keep-alive connection with *changes*."""
    plain: dict[str, object] = {
        "inode": 1,
        "state": connections.ESTABLISHED,
        "local": ("127.0.0.1", 80),
        "remote": ("127.0.0.1", 5000),
        "unread": 0,
        "unsent": 0,
        "bytes_received": 100,
        "bytes_acked": 100,
        "last_received_ms": 1000,
        "last_sent_ms": 900,
    }
    return Connection(**(plain | changes))  # type: ignore[arg-type]  # the values come from a table


@pytest.mark.parametrize(
    ("changes", "busy"),
    [
        ({}, False),
        ({"unread": 1}, True),
        ({"unsent": 1}, True),
        ({"bytes_received": 0}, True),
        ({"bytes_acked": 0}, True),
        ({"last_received_ms": 100, "last_sent_ms": 900}, True),
        ({"last_received_ms": 104, "last_sent_ms": 100}, True),
        ({"last_received_ms": 120, "last_sent_ms": 100}, False),
        (
            {"state": connections.CLOSE_WAIT, "last_received_ms": 1, "last_sent_ms": 9},
            True,
        ),
        ({"state": connections.CLOSE_WAIT, "bytes_received": 0}, False),
        ({"state": connections.FIN_WAIT2, "unsent": 5}, False),
        ({"inode": 0, "unsent": 5}, False),
    ],
)
def test_busy_means_that_an_answer_is_owed(
    changes: dict[str, object], busy: bool
) -> None:
    """The kernel's counters and times show it."""
    assert is_busy(seen(**changes)) is busy


@pytest.mark.parametrize(
    ("changes", "unserved"),
    [
        ({}, False),
        ({"unread": 1}, True),
        ({"unsent": 1}, True),
        ({"bytes_received": 0, "last_received_ms": 240}, True),
        ({"bytes_received": 0, "last_received_ms": 1000}, False),
        (
            {
                "bytes_received": 0,
                "last_received_ms": 1,
                "state": connections.CLOSE_WAIT,
            },
            False,
        ),
    ],
)
def test_who_has_just_connected_is_not_counted_yet(
    changes: dict[str, object], unserved: bool
) -> None:
    """A client may be slow between its handshake and its request."""
    assert connections.is_unserved(seen(**changes)) is unserved


def test_a_connection_without_a_word_is_as_old_as_its_handshake() -> None:
    """Also if it waited before it was accepted: the kernel counts from the handshake."""
    diag = sock_diag.SockDiag()
    with listener() as sock:
        port = frozenset({sock.getsockname()[1]})
        before = time.monotonic()
        with socket.create_connection(sock.getsockname(), 5):
            after = time.monotonic()
            until(lambda: time.monotonic() > after + 0.3, "some time to pass")
            with sock.accept()[0]:
                (found,) = diag.connections(port)
                longest_ms = (time.monotonic() - before) * 1000
                assert found.bytes_received == 0
                assert 290 <= found.last_received_ms <= longest_ms + 10
    diag.close()


def test_connections_and_listeners_are_found_by_port() -> None:
    """They come with their inodes, by which their process is found."""
    with listener() as sock:
        port = sock.getsockname()[1]
        with socket.create_connection(sock.getsockname(), 5) as client:
            accepted = sock.accept()[0]
            client.sendall(b"x" * 10)
            diag = sock_diag.SockDiag()
            (found,) = diag.connections(frozenset({port}))
            (listening,) = diag.listeners(port)
            diag.close()
            assert found.inode == os.fstat(accepted.fileno()).st_ino
            assert (found.unread, found.remote[1]) == (10, client.getsockname()[1])
            assert listening.inode == os.fstat(sock.fileno()).st_ino
            accepted.close()


def test_a_handshake_is_told_until_it_is_over() -> None:
    """With TCP_DEFER_ACCEPT (tcp(7)) it ends with the first byte."""
    diag = sock_diag.SockDiag()
    with contextlib.ExitStack() as ends:
        ends.callback(diag.close)
        sock = ends.enter_context(listener())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
        port = sock.getsockname()[1]
        client = ends.enter_context(socket.create_connection(sock.getsockname(), 5))
        host, own = client.getsockname()
        peer = connections.Peer(host=host, port=own, local_port=port)
        ports = frozenset({port})
        found, half_open = diag.incoming(ports)
        assert not found
        assert half_open == diag.half_open(ports) == {peer}
        client.sendall(b"x")
        ends.enter_context(sock.accept()[0])
        found, half_open = diag.incoming(ports)
        assert [c.remote for c in found] == [(host, own)]
        assert not half_open
        assert not diag.half_open(ports)


def test_one_dump_tells_of_several_ports_of_both_families() -> None:
    """It holds no other port; the ports may be the local or the remote ones."""
    diag = sock_diag.SockDiag()
    with contextlib.ExitStack() as ends:
        ends.callback(diag.close)

        def connect(host: str, to: str) -> tuple[int, int]:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            server = ends.enter_context(socket.socket(family))
            server.bind((host, 0))
            server.listen()
            address = (to, server.getsockname()[1])
            client = ends.enter_context(socket.create_connection(address))
            ends.enter_context(server.accept()[0])
            return server.getsockname()[1], client.getsockname()[1]

        kinds = [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")]
        made = [connect(*kind) for kind in kinds]
        for count in range(len(made) + 1):
            asked = made[:count]
            ports = frozenset(local for local, _ in asked)
            found, half_open = diag.incoming(ports)
            assert {(c.local[1], c.remote[1]) for c in found} == set(asked)
            assert not half_open
            back = {(c.remote[1], c.local[1]) for c in diag.outgoing(ports)}
            assert back == set(asked)


def test_the_relay_serves_a_queue_whose_program_died() -> None:
    """Sixty connections have sent their requests; the other program answers all."""
    dead, alive = (first := listener()), listener(first.getsockname()[1])
    with dead, alive:
        address = dead.getsockname()
        steering.attach(dead, steering.steer_to(0))
        clients = [socket.create_connection(address, 10) for _ in range(60)]
        for client in clients:
            client.sendall(b"question")
        steering.attach(dead, steering.steer_to(1))

        def serve() -> None:
            for _ in clients:
                accepted = alive.accept()[0]
                accepted.sendall(accepted.recv(100).replace(b"question", b"answer"))
                accepted.close()

        thread = threading.Thread(target=serve)
        thread.start()
        os.set_inheritable(dead.fileno(), True)
        command = interpreter.python(
            "gapless.supervisor.relay.queue",
            ["--fd", str(dead.fileno()), "--until-quiet", "0.1", "--deadline", "20"],
        )
        done = subprocess.run(
            command,
            pass_fds=(dead.fileno(),),
            capture_output=True,
            timeout=30,
            check=True,
        )
        thread.join(10)
        answers = [client.recv(100) for client in clients]
        for client in clients:
            client.close()
    assert answers == [b"answer"] * 60
    assert b'"accepted": 60, "finished": 60, "failed": 0' in done.stdout


def test_the_kernel_tells_an_answer_that_is_outstanding_from_one_that_came() -> None:
    """Also if both fell into one tick of its clock; only ports that are asked count."""
    diag = sock_diag.SockDiag()
    with listener() as database, socket.socket() as app:
        app.connect(database.getsockname())
        peer = database.accept()[0]
        for each in (app, peer):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port = database.getsockname()[1]
        inode = os.fstat(app.fileno()).st_ino

        def asks() -> bool:
            (found,) = [
                each for each in diag.outgoing(frozenset({port})) if each.inode == inode
            ]
            return calls.is_outstanding(found)

        def ask(answered: bool) -> None:
            app.sendall(b"query")
            assert peer.recv(100) == b"query"
            if answered:
                peer.sendall(b"rows")
                assert app.recv(100) == b"rows"

        assert not asks()
        for _ in range(3):
            ask(answered=True)
            assert not asks()
            ask(answered=True)
            ask(answered=False)  # within the same tick, most of the time
            assert asks()
            until(lambda: not _unsent(app), "the peer's kernel to acknowledge")
            assert asks()
            peer.sendall(b"rows")
            until(lambda: _unread(app), "the answer")
            assert asks()
            app.recv(100)
            assert not asks()
        assert inode not in {c.inode for c in diag.outgoing(frozenset({port + 1}))}
        app.sendall(b"terminate")
        app.close()
        assert not [c for c in diag.outgoing(frozenset({port})) if c.inode]
        peer.close()
    diag.close()


def _unsent(sock: socket.socket) -> int:
    return _queued(sock, termios.TIOCOUTQ)


def _unread(sock: socket.socket) -> int:
    return _queued(sock, termios.FIONREAD)


def _queued(sock: socket.socket, number: int) -> int:
    return int.from_bytes(fcntl.ioctl(sock, number, b"\0" * 4), sys.byteorder)


def test_of_a_unix_socket_the_kernel_tells_only_what_nobody_has_read() -> None:
    """A query that was read and is not answered looks like no query: see LIMITS.md."""
    app, database = socket.socketpair()
    with app, database:
        app.sendall(b"query")
        assert _unsent(app) > 0
        database.recv(100)
        assert _unsent(app) == 0
