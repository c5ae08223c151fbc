"""The names of a socket in the file system, and which of them clients find."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.keeper.seccomp import paths
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.sockets.unix import place
from gapless.supervisor.sockets.unix.acting import Identity
from gapless.supervisor.sockets.unix.own_paths import is_for_itself
from gapless.supervisor.sockets.unix.path_hints import may_serve_on_path

ME = Identity(uid=os.geteuid(), gid=os.getegid(), groups=tuple(os.getgroups()))


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Return three sockets."""
    made = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    yield made
    for each in made:
        each.close()


def who_answers(path: Path, sockets: list[socket.socket]) -> int:
    """Return which of some sockets a client of a path comes to."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        for number, each in enumerate(sockets):
            each.setblocking(False)
            try:
                each.accept()[0].close()
            except OSError:
                continue
            return number
    raise AssertionError("nobody")


def test_path_moves_there_and_back(
    tmp_path: Path, sockets: list[socket.socket]
) -> None:
    """Each socket keeps a name of its own; what was removed is put back."""
    path = tmp_path / "app.sock"
    first = place.bind_first(sockets[0], str(path), 1, ME)
    second = place.bind_beside(sockets[1], str(path), 2, ME, first)
    for each in sockets[:2]:
        each.listen()
    assert who_answers(path, sockets[:2]) == 0
    for wanted, found in ((second, 1), (first, 0), (second, 1), (second, 1)):
        place.put(wanted)
        assert who_answers(path, sockets[:2]) == found
    path.unlink()
    place.put(second)
    assert who_answers(path, sockets[:2]) == 1
    place.remove(first)
    assert sorted(os.listdir(tmp_path)) == ["app.sock", "app.sock.gapless-2"]
    place.remove(second)
    assert os.listdir(tmp_path) == []


def test_longest_path(tmp_path: Path, sockets: list[socket.socket]) -> None:
    """The name beside is longer than an address may be."""
    path = str(tmp_path / "x")
    path += "y" * (place.LONGEST_BYTES - len(path))
    first = place.bind_first(sockets[0], path, 1, ME)
    second = place.bind_beside(sockets[1], path, 2, ME, first)
    for each in sockets[:2]:
        each.listen()
    place.put(second)
    assert who_answers(Path(path), sockets[:2]) == 1


def test_leftovers_are_no_obstacle(
    tmp_path: Path, sockets: list[socket.socket]
) -> None:
    """A supervisor may have died after each step."""
    path = tmp_path / "app.sock"
    for name in ("app.sock.gapless-1", "app.sock.gapless-7", "app.sock.gapless-1.new"):
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(str(tmp_path / name))
    first = place.bind_first(sockets[0], str(path), 1, ME)
    path.unlink()
    place.put(first)
    assert place.is_at_path(first)
    assert sorted(os.listdir(tmp_path)) == ["app.sock", "app.sock.gapless-1"]


def test_mode_goes_on_only_if_somebody_set_it(
    tmp_path: Path, sockets: list[socket.socket]
) -> None:
    """What comes of the umask alone is the new release's own matter."""
    path = tmp_path / "app.sock"
    first = place.bind_first(sockets[0], str(path), 1, ME)
    second = place.bind_beside(
        sockets[1],
        str(path),
        2,
        Identity(uid=ME.uid, gid=ME.gid, groups=ME.groups, umask=0),
        first,
    )
    place.put(second)
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    path.chmod(0o640)
    third = place.bind_beside(sockets[2], str(path), 3, ME, second)
    place.put(third)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    place.put(second)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    place.put(third)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640  # its own, from before


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/run/app.sock", False),
        ("/run/app-4321.sock", True),
        ("/tmp/dotnet-diagnostic-4321-99-socket", True),
        ("/tmp/pymp-ab3d_efg/listener-x1", True),
        ("/tmp/tmpab3d_efg/x", True),
        ("/srv/14321/app.sock", False),
        ("/tmp/tmp.Xy34567890/app.sock", False),
        ("/home/a/.gunicorn/gunicorn.ctl", True),
        ("/run/pumactl.sock", True),
        ("/run/app.control", True),
        ("/run/app-control.sock", True),
        ("/run/controller.sock", False),
        ("/run/access_controls.sock", False),
        ("/home/a/.gnupg/S.gpg-agent.ssh", True),
    ],
)
def test_paths_that_a_process_makes_up_for_itself(path: str, expected: bool) -> None:
    """No client knows them, and no other process will bind them."""
    assert is_for_itself(path, {4321, 1}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server.listen('/run/app.sock')", True),
        ('{"listen": "unix:/run/app"}', True),
        ("const socket = require('socket.io')", False),
        ("server.listen(8080)", False),
    ],
)
def test_hints_of_a_path(tmp_path: Path, text: str, expected: bool) -> None:
    """What an app is written in tells, before its first start."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "app.json").write_text(text)
    spec = AppSpec(name="a", command=("node", "x.js"), directory=str(tmp_path))
    assert may_serve_on_path(spec) is expected


def test_a_fifo_in_the_directory_is_not_waited_for(tmp_path: Path) -> None:
    """To look through an app never blocks."""
    os.mkfifo(tmp_path / "app.conf")
    spec = AppSpec(name="a", command=("true",), directory=str(tmp_path))
    assert not may_serve_on_path(spec)


def test_addresses_are_parsed() -> None:
    """A path ends at its NUL; an abstract name may have some."""
    family = socket.AF_UNIX.to_bytes(2, "little")
    assert paths.parse_unix_address(family + b"/a/b\0rest") == b"/a/b"
    assert paths.parse_unix_address(family + b"\0a\0b") == b"\0a\0b"
    assert paths.parse_unix_address(family) is None
    assert paths.parse_unix_address(b"\2\0" + b"x" * 14) is None


def test_names_are_resolved_as_the_caller_means_them(tmp_path: Path) -> None:
    """By its directory, or one that it has open; the last name is not followed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    me, real = os.getpid(), f"{tmp_path}/real/s"
    assert paths.resolve(me, f"{tmp_path}/link/s".encode()) == real
    directory = os.open(tmp_path / "link", os.O_RDONLY)
    try:
        assert paths.resolve(me, b"s", directory) == real
        assert paths.resolve(me, b"../link/s", directory) == real
    finally:
        os.close(directory)
    assert paths.resolve(me, b"s") == f"{os.getcwd()}/s"
    assert paths.resolve(me, real.encode(), wanted={"t"}) == ""
    assert paths.resolve(me, b"") == ""
