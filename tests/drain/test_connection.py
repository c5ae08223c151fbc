"""The connection to the supervisor: a real socket, and any bytes that may come on it."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gapless_drain import Drain, connection
from gapless_drain.testing import INSTANCE, FakeSupervisor

from rig.wait import until


@pytest.fixture
def supervisor() -> Iterator[FakeSupervisor]:
    """Return a supervisor that accepts connections."""
    with FakeSupervisor() as found:
        yield found


@pytest.fixture
def drain(supervisor: FakeSupervisor) -> Iterator[Drain]:
    """Return a drain that has connected."""
    found = Drain(environ=supervisor.environ, on_signal=None)
    supervisor.wait_for(processes=1)
    yield found
    found.close()


def test_a_process_says_who_it_is_and_what_it_counts(
    supervisor: FakeSupervisor, drain: Drain
) -> None:
    """It sends them at once, when asked, and when the app is ready."""
    (process,) = supervisor.processes
    assert process.hello["instance"] == INSTANCE
    assert process.hello["pid"] == os.getpid()
    request = drain.core.admit("GET /", 0.0)
    supervisor.order("counts")
    supervisor.wait_for(mode="serving", requests=1, procedures=0)
    drain.core.finish(request, 1.0)
    drain.ready()
    until(lambda: process.ready, "ready")


def test_who_has_no_server_says_that_it_counts_procedures_only(
    supervisor: FakeSupervisor, drain: Drain
) -> None:
    """The kernel is asked about its requests, until the app hands over its server."""
    (process,) = supervisor.processes
    assert process.hello["scope"] == "procedures"
    supervisor.order("drain handoff")
    supervisor.wait_for(mode="handoff")
    drain.asgi(lambda *_: None)
    until(lambda: supervisor.processes != [process], "another connection")
    supervisor.wait_for(processes=1, mode="handoff")
    (process,) = supervisor.processes
    assert "scope" not in process.hello
    drain.wsgi(lambda *_: None)
    supervisor.order("counts")
    supervisor.wait_for(mode="handoff")
    assert supervisor.processes == [process]


def test_counts_are_told_while_it_drains_and_never_while_it_serves(
    supervisor: FakeSupervisor, drain: Drain
) -> None:
    """While it drains, each change is sent, and the last one always."""
    (process,) = supervisor.processes
    process.counts = {}
    drain.core.finish(drain.core.admit("GET /", 0.0), 1.0)
    assert process.counts == {}
    supervisor.order("drain recycle")
    supervisor.wait_for(mode="recycle", requests=0)
    requests = [drain.core.admit("GET /", 0.0) for _ in range(5)]
    supervisor.wait_for(requests=5, refusing=5)
    for request in requests:
        drain.core.finish(request, 1.0)
    supervisor.wait_for(requests=0, refused=5)
    supervisor.order("undrain")
    supervisor.wait_for(mode="serving", refused=0)


def test_what_finished_while_it_served_is_told_before_it_hangs_up(
    supervisor: FakeSupervisor, drain: Drain
) -> None:
    """Without it, a child that ends right after its procedure would look as if cut."""
    (process,) = supervisor.processes
    procedure = drain.core.begin("close_month", 0.0, None)
    supervisor.order("counts")
    supervisor.wait_for(procedures=1)
    drain.core.finish(procedure, 1.0)
    drain.close()
    until(lambda: not supervisor.processes, "the end of the connection")
    assert process.counts["procedures"] == 0


def test_a_broken_connection_is_made_again(
    supervisor: FakeSupervisor, drain: Drain
) -> None:
    """It breaks when a supervisor is replaced; the mode stays what it was."""
    supervisor.order("drain handoff")
    supervisor.wait_for(mode="handoff")
    (before,) = supervisor.processes
    supervisor.hang_up()
    until(lambda: before not in supervisor.processes, "the end of the connection")
    supervisor.wait_for(processes=1, mode="handoff")


def test_what_is_no_order_is_ignored(supervisor: FakeSupervisor, drain: Drain) -> None:
    """Unknown orders and garbage are; an order that comes in two pieces is taken."""
    (process,) = supervisor.processes
    process.sock.sendall(b"dance\n\n\xff\xfe\0\ndrain\ndrain slowly\ndrain hand")
    process.sock.sendall(b"off\r\n")
    supervisor.wait_for(mode="handoff")


def test_a_line_without_end_ends_the_connection(
    supervisor: FakeSupervisor, drain: Drain
) -> None:
    """The process connects again."""
    (process,) = supervisor.processes
    process.sock.setblocking(True)
    try:
        for _ in range(100):
            process.sock.sendall(b"x" * 4096)
    except OSError:
        pass
    until(lambda: process not in supervisor.processes, "the end of the connection")
    supervisor.wait_for(processes=1, mode="serving")


def test_it_waits_for_a_supervisor_that_comes_later(tmp_path: Path) -> None:
    """The app starts without one, and the process connects when it comes."""
    with FakeSupervisor() as supervisor:
        path = str(tmp_path / "later")
        environ = {"GAPLESS_SOCKET": path, "GAPLESS_INSTANCE": INSTANCE}
        drain = Drain(environ=environ, on_signal=None)
        try:
            os.symlink(supervisor.environ["GAPLESS_SOCKET"], path)
            supervisor.wait_for(processes=1, mode="serving")
        finally:
            drain.close()


def test_a_forked_process_connects_by_itself(
    supervisor: FakeSupervisor, drain: Drain
) -> None:
    """Nothing that its parent has under way is counted in it."""
    request = drain.core.admit("GET /", 0.0)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    os.close(read_end)
    try:
        supervisor.wait_for(processes=2)
        supervisor.order("counts")
        supervisor.wait_for(processes=2, requests=1)
        pids = {process.hello["pid"] for process in supervisor.processes}
        assert pids == {pid, os.getpid()}
    finally:
        os.close(write_end)
        os.waitpid(pid, 0)
    drain.core.finish(request, 1.0)


def test_an_abstract_name_is_understood() -> None:
    """The supervisor on Linux gives it as `@name`."""
    name = f"drain-test-{os.getpid()}-{os.urandom(8).hex()}".ljust(107, "x")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        listener.settimeout(20)
        environ = {"GAPLESS_SOCKET": f"@{name}", "GAPLESS_INSTANCE": INSTANCE}
        drain = Drain(environ=environ, on_signal=None)
        try:
            with listener.accept()[0] as accepted:
                assert b'"hello": 1' in accepted.recv(4096)
        finally:
            drain.close()


def test_a_supervisor_that_hangs_up_at_once_is_tried_once_a_second(
    tmp_path: Path,
) -> None:
    """It does so if it does not know the process."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(20)
        environ = {"GAPLESS_SOCKET": path, "GAPLESS_INSTANCE": INSTANCE}
        drain = Drain(environ=environ, on_signal=None)
        try:
            listener.accept()[0].close()
            hung_up = time.monotonic()
            listener.accept()[0].close()
            listener.accept()[0].close()
            assert time.monotonic() - hung_up > connection.RETRY_S
        finally:
            drain.close()


def test_without_descriptors_it_tries_again(
    supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread lives on, and writes nothing to stderr."""
    to_connect = (socket.AF_UNIX, socket.SOCK_STREAM)  # as line_socket.connect does
    failed = threading.Event()
    real = socket.socket

    def none_left(*arguments: Any, **named: Any) -> socket.socket:
        if arguments == to_connect and not failed.is_set():
            failed.set()
            raise OSError(errno.EMFILE, "too many open files")
        return real(*arguments, **named)

    monkeypatch.setattr(socket, "socket", none_left)
    drain = Drain(environ=supervisor.environ, on_signal=None)
    try:
        assert failed.wait(20)
        supervisor.wait_for(processes=1, mode="serving")
    finally:
        monkeypatch.undo()
        drain.close()


def test_a_change_before_a_wait_ends_the_wait() -> None:
    """Otherwise the last request of a drain could finish unnoticed."""
    begun, called_again = threading.Event(), threading.Event()
    state: list[str] = []

    def before_wait() -> float:
        if not begun.is_set():
            return 60.0
        if state == ["last request"]:
            state.clear()
            found.send_counts()
        elif not state:
            called_again.set()
        return 60.0

    found = connection.SupervisorConnection(
        {},
        "x",
        take_order=lambda _: False,
        counts=dict,
        scope=str,
        before_wait=before_wait,
    )
    try:
        state.append("last request")
        begun.set()
        found.send_counts()
        assert called_again.wait(20)
    finally:
        found.close()


def test_a_drain_that_was_closed_stays_closed_in_a_child(
    supervisor: FakeSupervisor,
) -> None:
    """Only an open one connects again after a fork."""
    drain = Drain(environ=supervisor.environ, on_signal=None)
    drain.close()
    pid = os.fork()
    if pid == 0:
        os._exit(threading.active_count() - 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
