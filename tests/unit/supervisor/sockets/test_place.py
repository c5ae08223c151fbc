"""The names of a socket in the file system, and which of them clients find."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.keeper.seccomp import paths
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.sockets.groups import Groups
from gapless.supervisor.sockets.listener import ByName, Listener
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.unix import binding, names, place
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


@pytest.fixture
def outside() -> Iterator[Path]:
    """Return a directory that other users can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


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
    path += "y" * (binding.LONGEST_BYTES - len(path))
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
    place.put(second, [first])
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    path.chmod(0o640)
    third = place.bind_beside(sockets[2], str(path), 3, ME, second)
    place.put(third, [first, second])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    place.put(second, [first, third])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    place.put(third, [first, second])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640  # its own, from before


def test_mode_of_a_stranger_is_not_taken_over(
    tmp_path: Path, sockets: list[socket.socket]
) -> None:
    """Nor what a mode can have beside permissions; what is no socket stays."""
    path = tmp_path / "app.sock"
    first = place.bind_first(sockets[0], str(path), 1, ME)
    second = place.bind_beside(sockets[1], str(path), 2, ME, first)
    path.chmod(0o6750)
    place.put(second, [first])
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    path.unlink()
    sockets[2].bind(str(path))
    path.chmod(0o777)
    place.put(first, [second])
    assert stat.S_IMODE(path.stat().st_mode) == 0o6750
    path.unlink()
    path.write_text("somebody's")
    with pytest.raises(FileExistsError):
        place.put(second, [first])
    assert path.read_text() == "somebody's"
    assert "app.sock.gapless-2.new" not in os.listdir(tmp_path)


def test_symlink_in_the_place_of_a_name_is_not_followed(
    tmp_path: Path, sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write to the directory may put one there after each look."""
    path, secret = tmp_path / "app.sock", tmp_path / "secret"
    secret.write_text("")
    secret.chmod(0o600)
    first = place.bind_first(sockets[0], str(path), 1, ME)
    second = place.bind_beside(sockets[1], str(path), 2, ME, first)
    path.chmod(0o777)
    look, name = names.look, Path(second.beside)

    def look_and_lose(*what: Any) -> os.stat_result | None:
        found = look(*what)
        name.unlink(missing_ok=True)
        name.symlink_to(secret)
        return found

    monkeypatch.setattr(names, "look", look_and_lose)
    with pytest.raises(OSError, match="taken its place"):
        place.put(second, [first])
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert place.is_at_path(first)


def test_path_of_a_dead_socket_is_taken(
    tmp_path: Path, sockets: list[socket.socket]
) -> None:
    """Whoever was to remove it was killed; that of a stranger, or a live one, stays."""
    path = tmp_path / "app.sock"
    place.bind_first(sockets[0], str(path), 1, ME)
    sockets[0].listen()
    with pytest.raises(OSError, match="in use"):
        place.bind_first(sockets[1], str(path), 2, ME)
    sockets[0].close()
    second = place.bind_first(sockets[1], str(path), 2, ME)
    assert place.is_at_path(second)
    assert sorted(os.listdir(tmp_path)) == ["app.sock", "app.sock.gapless-2"]
    sockets[1].close()
    Path(second.beside).unlink()
    with pytest.raises(OSError, match="in use"):
        place.bind_first(sockets[2], str(path), 3, ME)


@pytest.mark.parametrize("length", [0, 107])
def test_bind_is_gone_on_with(
    tmp_path: Path, sockets: list[socket.socket], length: int
) -> None:
    """A supervisor died after it bound a socket, and before the keeper held it."""
    path = tmp_path / "app.sock"
    path = path.with_name("app.sock" + "y" * (length - len(str(path))))
    place.bind_first(sockets[0], str(path), 1, ME)
    for _ in range(2):  # with its second name, and without
        first = place.bind_first(sockets[0], str(path), 1, ME)
        assert place.is_at_path(first)
        assert os.path.samefile(path, first.beside)
        Path(first.beside).unlink()
    first = place.bind_first(sockets[0], str(path), 1, ME)
    place.bind_beside(sockets[1], str(path), 2, ME, first)
    second = place.bind_beside(sockets[1], str(path), 2, ME, first)
    assert place.is_at_path(first)
    place.put(second, [first])
    assert place.is_at_path(second)
    place.remove(first)
    place.take_away(second)
    second = place.bind_first(sockets[1], str(path), 2, ME)  # the other one is gone
    assert place.is_at_path(second)
    assert os.path.samefile(path, second.beside)


class Keeper(KeeperConnection):
    """Remembers the notes."""

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}

    def note(self, key: str, value: object) -> None:
        """Remember a note."""
        self.notes[key.removeprefix("group/")] = value


def listener_of(where: place.Place, sock: socket.socket, number: int) -> Listener:
    """Return a listening socket of a generation."""
    group = f"unix:{where.path}"
    return Listener(
        name=f"socket/a/{number}/{group}",
        app="a",
        generation=number,
        address=group,
        group=group,
        sock=sock,
        place=where,
    )


def test_path_that_a_program_renames_is_left_alone(
    tmp_path: Path, sockets: list[socket.socket]
) -> None:
    """It binds another name, and each generation renames its own over the path."""
    bound, path = tmp_path / "app.new", tmp_path / "app.sock"
    listeners = ByName()
    groups = Groups(Keeper(), listeners)
    places: list[place.Place] = []
    for number, sock in enumerate(sockets, 1):
        if not places:
            places.append(place.bind_first(sock, str(bound), number, ME))
        else:
            places.append(place.bind_beside(sock, str(bound), number, ME, None))
        own = listener_of(places[-1], sock, number)
        listeners[own.name] = own
        groups.join(own, 8)
        assert place.is_at_path(places[-1])
        bound.rename(path)
        groups.steer(own)
        groups.restore(own.group)
        assert not bound.exists()
        assert who_answers(path, sockets) == number - 1
    with pytest.raises(OSError, match="renames its socket"):
        groups.steer(next(iter(listeners.values())))
    assert who_answers(path, sockets) == 2


def test_way_back_that_failed_is_tried_again(
    tmp_path: Path, sockets: list[socket.socket]
) -> None:
    """It says so, the path stays, and moves before the failed socket leaves it."""
    first = place.bind_first(sockets[0], str(tmp_path / "app.sock"), 1, ME)
    second = place.bind_beside(sockets[1], first.path, 2, ME, first)
    own = [listener_of(first, sockets[0], 1), listener_of(second, sockets[1], 2)]
    listeners = ByName()
    groups = Groups(Keeper(), listeners)
    for each in own:
        listeners[each.name] = each
        groups.join(each, 8)
    groups.steer(own[1])
    kept = Path(first.beside).rename(tmp_path / "away")
    with pytest.raises(OSError, match="no other name"):
        groups.steer(own[0])
    assert place.is_at_path(second)
    kept.rename(first.beside)
    groups.settle(own[1])
    assert place.is_at_path(first)


def test_path_that_was_hidden_without_a_note_is_there_again(
    tmp_path: Path, sockets: list[socket.socket]
) -> None:
    """The supervisor died after the path was taken, and before it was known why."""
    keeper = Keeper()
    before = Listeners(keeper)
    first = place.bind_first(sockets[0], str(tmp_path / "app.sock"), 1, ME)
    second = place.bind_beside(sockets[1], first.path, 2, ME, first)
    own = [listener_of(first, sockets[0], 1), listener_of(second, sockets[1], 2)]
    for each in own:
        before.by_name[each.name] = each
        before.groups.join(each, 8)
    before.groups.steer(own[0])
    before.groups.hide(own[0])
    after = Listeners(keeper)
    for each in own:
        after.by_name[each.name] = each
    after.groups.adopt(keeper.notes)
    assert not os.path.lexists(first.path)
    after.reopen("a", 2)
    assert not os.path.lexists(first.path)
    after.reopen("a", 1)
    assert place.is_at_path(first)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_path_that_was_given_to_another_user_moves_on(
    outside: Path, sockets: list[socket.socket], mode: int
) -> None:
    """The program's user may link none of these sockets, or replace them in /tmp."""
    who = Identity(uid=65534, gid=65534)
    outside.chmod(mode)
    if mode == 0o755:
        os.chown(outside, 65534, 65534)
    path = outside / "app.sock"
    first = place.bind_first(sockets[0], str(path), 1, who)
    second = place.bind_beside(sockets[1], str(path), 2, who, first)
    assert path.stat().st_uid == 65534
    os.chown(path, 33, 33)
    path.chmod(0o660)
    for new, old in ((second, first), (first, second), (second, first)):
        place.put(new, [old])
        assert place.is_at_path(new)
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (33, 33)
        assert stat.S_IMODE(found.st_mode) == 0o660
    path.unlink()
    place.put(second, [first])
    place.remove(first)
    place.remove(second)
    assert os.listdir(outside) == []


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
