"""What a rehearsal may not do, by the word of the kernel."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from gapless.rehearsal.stage import confinement, network
from rig.hosts.host import NOBODY
from rig.wait import free_port


def test_a_confined_thread_writes_and_binds_what_was_named(tmp_path: Path) -> None:
    """And the other threads of the process are as free as before."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    mine, other = free_port(), free_port()
    seen: list[str] = []
    tries: dict[str, Callable[[], object]] = {
        "write": lambda: (outside / "a").write_text("x"),
        "make": (outside / "folder").mkdir,
        "bind": lambda: bind(other),
        "signal": lambda: os.kill(os.getppid(), 0),
        "shared memory": lambda: Path(f"/dev/shm/{tmp_path.name}").touch(),
    }

    def act() -> None:
        (inside / "a").write_text("x")
        (inside / "a").rename(inside / "b")
        for name, forbidden in tries.items():
            try:
                forbidden()
            except PermissionError:
                seen.append(name)
        bind(mine)
        Path(os.devnull).write_text("x")

    missing = confinement.run_confined(act, writable=[str(inside)], ports=[mine])
    if missing.notes:
        pytest.skip("; ".join(missing.notes))
    assert seen == list(tries)
    (outside / "a").write_text("x")
    bind(other)


@pytest.mark.parametrize(
    ("version", "ports", "others"),
    [
        (-1, ["no landlock"], []),
        (2, ["binding"], ["truncating", "signals"]),
        (3, ["binding"], ["signals"]),
        (4, [], ["signals"]),
        (6, [], []),
    ],
)
def test_what_an_older_kernel_cannot_take_is_said(
    version: int, ports: list[str], others: list[str]
) -> None:
    """Only that of the ports decides where the rehearsal takes place."""
    found = confinement.missing_at(version, has_ports=True)
    assert bool(found.ports) == bool(ports)
    assert len(found.notes) == len(ports) + len(others)
    for word, note in zip([*ports, *others], found.notes, strict=True):
        assert word in note
    assert confinement.missing_at(4, has_ports=False).ports == ""


def bind(port: int) -> None:
    """Bind a port, and let it go."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))


def test_what_a_confined_thread_raises_is_raised(tmp_path: Path) -> None:
    """A supervisor that does not start is named as it is elsewhere."""

    def act() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        confinement.run_confined(act, writable=[str(tmp_path)], ports=None)


def test_in_a_private_network_every_port_is_free() -> None:
    """Also for an ordinary user, and those of low ports too."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        def act() -> None:
            network.enter()
            own = socket.create_server(("127.0.0.1", port))
            with own, socket.socket() as client:
                client.connect(own.getsockname())
            socket.create_server(("127.0.0.1", 80)).close()

        assert in_child(act) == 0
        if os.geteuid() == 0:

            def as_nobody() -> None:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
                # As after an exec: its files in /proc are its own (prctl(2)).
                ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
                act()

            assert in_child(as_nobody) == 0


def in_child(act: Callable[[], None]) -> int:
    """Act in a process of its own; return its exit code."""
    child = os.fork()
    if not child:
        code = 1
        try:
            act()
            code = 0
        except BaseException:  # noqa: BLE001 - this process ends here
            traceback.print_exc()
        finally:
            os._exit(code)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
