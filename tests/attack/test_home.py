"""GAPLESS_HOME: what is in it is believed only if nobody else can have put it there."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.base import files
from gapless.base.errors import UnavailableError
from gapless.base.outside import own_directory
from gapless.client import Client
from gapless.keeper import run as keeper_run
from rig.hosts.host import NOBODY, ORDINARY_USER, Host

LISTENS = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX, int(sys.argv[2]))
listener.bind(sys.argv[1])
listener.listen()
print("listens", flush=True)
while True:
    heard, _ = listener.accept()
    print(heard.recv(65536), flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a directory that is ours, in directories that others may enter."""
    found = tmp_path / "home"
    found.mkdir(mode=0o700)
    return found


def reason(path: Path) -> str:
    """Return why a directory is not used; empty if it is."""
    found = own_directory.fault(str(path))
    return found.reason if found else ""


def test_a_directory_of_ours_is_used(home: Path) -> None:
    """So is one that is not there yet, and one by way of a link of ours."""
    assert reason(home) == ""
    assert reason(home / "not" / "there") == ""
    link = home.parent / "link"
    link.symlink_to(home)
    assert reason(link) == ""


def test_a_directory_of_another_user_is_refused(home: Path) -> None:
    """So is one in such a directory, or behind a link of another user."""
    os.chown(home, NOBODY, NOBODY)
    assert "belongs to nobody, and you are root" in reason(home)
    assert "on the way to it belongs to nobody" in reason(home / "below")
    own = home.parent / "own"
    own.mkdir(mode=0o700)
    link = home.parent / "link"
    link.symlink_to(own)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    assert "the link" in reason(link)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702])
def test_a_directory_that_others_may_write_to_is_refused(home: Path, mode: int) -> None:
    """What is in it may be anybody's, also where it is sticky."""
    os.chown(home, 0, NOBODY)
    home.chmod(mode)
    assert "may write to it" in reason(home)


@pytest.mark.parametrize(
    ("user", "rights", "is_refused"),
    [(NOBODY, 7, True), (NOBODY, 5, False), (0, 7, False)],
)
def test_an_access_control_list_counts_as_well(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    rights: int,
    *,
    is_refused: bool,
) -> None:
    """The mode shows what it gives as the group's rights, and the group may be root's."""
    rows = [(0x01, 7, -1), (0x02, rights, user), (0x04, 0, -1), (0x10, 7, -1)]
    packed = b"".join(struct.pack("<HHi", *row) for row in (*rows, (0x20, 0, -1)))

    def list_of(path: str, name: str, *, follow_symlinks: bool) -> bytes:
        assert (name, follow_symlinks) == ("system.posix_acl_access", False)
        if path != str(home):
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA), path)
        return struct.pack("<I", 2) + packed

    home.chmod(0o770)
    # Not every file system that tests run on has such lists.
    monkeypatch.setattr(os, "getxattr", list_of)
    assert ("access control list" in reason(home)) is is_refused


def test_a_directory_above_may_be_written_to_only_if_it_is_sticky(home: Path) -> None:
    """Elsewhere whoever may write to it can put another directory in the place of ours."""
    home.parent.chmod(0o777)
    assert "which is above it" in reason(home)
    assert "which is above it" in reason(home / "not" / "there")
    home.parent.chmod(0o1777)
    assert reason(home) == ""


def test_what_is_no_directory_or_a_loop_is_refused(home: Path) -> None:
    """A loop of links ends."""
    (home / "file").write_text("")
    assert "is no directory" in reason(home / "file")
    (home / "loop").symlink_to(home / "loop")
    assert "too many levels" in reason(home / "loop")


def test_the_group_of_one_user_is_that_user(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user whose umask is 002 made it: it is used, and tightened."""
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    os.chown(home, NOBODY, NOBODY)
    home.chmod(0o775)
    assert "the group nogroup may write" in reason(home)

    class Entry:
        pw_name = gr_name = "one"
        pw_gid = NOBODY
        gr_mem: tuple[str, ...] = ("one",)

    monkeypatch.setattr("pwd.getpwuid", lambda _: Entry)
    monkeypatch.setattr("grp.getgrgid", lambda _: Entry)
    assert reason(home) == ""
    own_directory.tighten(str(home))
    assert stat.S_IMODE(home.stat().st_mode) == 0o755
    home.chmod(0o775)
    Entry.gr_mem = ("one", "two")
    assert "may write to it" in reason(home)


def test_no_command_of_root_reads_what_another_user_wrote(host: Host) -> None:
    """Their state would be run with our rights."""
    host.home.mkdir()
    state = host.home / "state.json"
    state.write_text(json.dumps({"version": 1, "apps": "read"}))
    os.chown(state, NOBODY, NOBODY)
    os.chown(host.home, NOBODY, NOBODY)
    for command in ("list", "supervise"):
        done = host.gapless(command)
        assert done.returncode == 1
        said = done.stdout + done.stderr
        assert (
            f"{host.home} is not used: it belongs to nobody, and you are root" in said
        )
        assert "Traceback" not in said
        assert "run the command as nobody" in said
    assert sorted(os.listdir(host.home)) == ["state.json"]


def test_a_file_of_another_user_in_a_home_of_ours_is_not_read(home: Path) -> None:
    """It was left there when the directory was open; nor is a link followed."""
    theirs = home / "state.json"
    theirs.write_text("{}")
    assert files.read_own_json(str(theirs)) == {}
    os.chown(theirs, NOBODY, NOBODY)
    with pytest.raises(PermissionError, match="another user"):
        files.read_own_json(str(theirs))
    with pytest.raises(PermissionError, match="another user"):
        files.open_own(str(theirs), os.O_WRONLY)
    (home / "link").symlink_to("elsewhere")
    for how in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT):
        with pytest.raises(OSError, match="link"):
            files.open_own(str(home / "link"), how)
    with pytest.raises(OSError, match="link"):
        files.read_own_json(str(home / "link"))
    assert not (home / "elsewhere").exists()


@pytest.fixture
def listening(home: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Return processes of another user that listen at the sockets of a home of ours."""
    found = {}
    home.chmod(0o777)
    home.parent.chmod(0o755)
    for name, kind in (
        ("supervisor.sock", socket.SOCK_STREAM),
        ("keeper.sock", socket.SOCK_SEQPACKET),
    ):
        argv = [sys.executable, "-c", LISTENS, str(home / name), str(int(kind))]
        found[name] = subprocess.Popen(
            [*ORDINARY_USER, *argv], stdout=subprocess.PIPE, text=True
        )
    for process in found.values():
        assert process.stdout is not None
        assert process.stdout.readline() == "listens\n"
    home.chmod(0o700)
    yield found
    for process in found.values():
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_nothing_is_sent_to_a_socket_at_which_another_user_listens(
    home: Path, listening: dict[str, subprocess.Popen[str]]
) -> None:
    """A request has the variables of an app, and secrets are among them."""
    client = Client(str(home))
    for ask in (client.is_running, lambda: client.request("list")):
        with pytest.raises(UnavailableError, match=f"user {NOBODY} listens there"):
            ask()
    with pytest.raises(PermissionError, match=f"user {NOBODY} listens there"):
        keeper_run.connect(str(home))
    for process in listening.values():
        assert process.stdout is not None
        assert process.stdout.readline() == "b''\n"
        process.kill()
        assert set(process.stdout) <= {"b''\n"}
