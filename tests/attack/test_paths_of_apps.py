"""Logs and pid files in a directory of the app's user: root writes to no other file."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gapless.base import events
from gapless.base.outside import reached_path
from gapless.cli.verbs.inspect import flush
from gapless.keeper.logs.log_file import LogFile
from gapless.supervisor.act import pid_files
from gapless.supervisor.memory import report_files
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.observe import log_tail
from gapless.supervisor.sockets.unix import place
from gapless.supervisor.sockets.unix.acting import Identity
from rig.hosts.host import NOBODY, ORDINARY_USER

NOW = 0.0
CONTENT = b"kept\n"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a directory that other users may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="gapless-") as found:
        os.chmod(found, 0o711)
        yield Path(found)


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Path]:
    """Return a directory of another user."""
    found = tmp_path / "theirs"
    found.mkdir(mode=0o700)
    os.chown(found, NOBODY, NOBODY)
    yield found
    assert (tmp_path / "private").read_bytes() == CONTENT


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """Return a file of ours that nobody else may read."""
    found = tmp_path / "private"
    found.write_bytes(CONTENT)
    found.chmod(0o600)
    return found


def link_of_theirs(path: Path, target: Path | str) -> None:
    """Make a link as the other user makes one."""
    path.symlink_to(target)
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def log(path: Path) -> LogFile:
    """Return a log that is rotated when it has four bytes, and keeps two."""
    return LogFile(str(path), rotate_bytes=4, rotate_s=0, keep=2)


def write(file: LogFile, lines: bytes = b"line\n") -> bool:
    """Write lines; return whether they were taken."""
    taken = file.write(lines, NOW)
    file.give_up()
    file.close()
    return taken


def test_a_log_goes_through_no_link_of_another_user(
    theirs: Path, private: Path, tmp_path: Path
) -> None:
    """Neither at its own name, nor on the way, nor at the names of rotation."""
    link_of_theirs(theirs / "app.log", private)
    assert not write(log(theirs / "app.log"))
    link_of_theirs(theirs / "way", tmp_path)
    assert not write(log(theirs / "way" / "private"))
    assert not write(log(theirs / "way" / "new"))
    assert not (tmp_path / "new").exists()
    link_of_theirs(theirs / "up", "../private")
    assert not write(log(theirs / "up"))
    link_of_theirs(theirs / "again.log.1", private)
    again = log(theirs / "again.log")
    assert write(again)
    assert write(again)
    link_of_theirs(theirs / "loop", "loop")
    assert not write(log(theirs / "loop"))


@pytest.fixture
def held(private: Path) -> Iterator[str]:
    """Return a path of procfs by which a process of the other user holds a file of ours.

    That needs no right to read it (open(2), O_PATH).
    """
    script = (
        f"import os; print(os.open({str(private)!r}, os.O_PATH), flush=True); input()"
    )
    with subprocess.Popen(
        [*ORDINARY_USER, sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        number = int(process.stdout.readline())
        yield f"/proc/{process.pid}/fd/{number}"
        process.communicate("\n")


def test_no_link_of_another_user_leads_through_procfs(theirs: Path, held: str) -> None:
    """The directory of descriptors is that user's, and what they name is not."""
    link_of_theirs(theirs / "app.log", held)
    link_of_theirs(theirs / "way", os.path.dirname(held))
    link_of_theirs(theirs / "root", os.path.dirname(os.path.dirname(held)))
    for name in (
        "app.log",
        f"way/{os.path.basename(held)}",
        f"root/fd/{os.path.basename(held)}",
        f"root/root{theirs}/new",
        f"root/cwd{theirs}/new",
    ):
        assert not write(log(theirs / name)), name
        assert log_tail.last_lines({str(theirs / name): 0}, 1) == []
        with pytest.raises(PermissionError):
            flush._empty(str(theirs / name))
    assert not (theirs / "new").exists()


def test_a_log_is_not_another_file_by_a_hard_link(theirs: Path, private: Path) -> None:
    """The kernel may be told to allow them (fs.protected_hardlinks)."""
    os.link(private, theirs / "app.log")
    assert not write(log(theirs / "app.log"))
    assert log_tail.last_lines({str(theirs / "app.log"): 0}, 1) == []


def test_links_of_root_and_a_users_own_are_followed(
    theirs: Path, private: Path, tmp_path: Path
) -> None:
    """An administrator's link is meant; a user's own leads into a directory of his."""
    ours = tmp_path / "ours"
    ours.mkdir()
    (tmp_path / "link").symlink_to(ours)
    assert write(log(tmp_path / "link" / "deep" / "app.log"))
    assert (ours / "deep" / "app.log").read_bytes() == b"line\n"
    (theirs / "shared").mkdir()
    os.chown(theirs / "shared", NOBODY, NOBODY)
    link_of_theirs(theirs / "log", "shared")
    assert write(log(theirs / "log" / "app.log"))
    assert (theirs / "shared" / "app.log").read_bytes() == b"line\n"
    assert private.read_bytes() == CONTENT


def test_a_log_may_be_our_own_output_or_a_fifo(tmp_path: Path) -> None:
    """/dev/stdout is a link of the kernel's, by way of procfs."""
    for name in ("/dev/stdout", "/dev/null", "/proc/self/fd/1"):
        with reached_path.parent_of(name) as (directory, last):
            os.close(reached_path.open_file(directory, last, os.O_WRONLY))
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    assert write(log(tmp_path / "fifo"))
    assert os.read(reader, 100) == b"line\n"
    os.close(reader)


def test_a_pid_file_empties_no_other_file(
    theirs: Path, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written, and removed, where it is; what else has its name stays."""
    app = AppRecord(
        name="app", spec=AppSpec(name="app", command=("true",), directory="/")
    )
    link_of_theirs(theirs / "link.pid", private)
    os.link(private, theirs / "hard.pid")
    wanted = {str(theirs / name): 4711 for name in ("link.pid", "hard.pid", "new.pid")}
    monkeypatch.setattr(pid_files, "_wanted", lambda _: wanted)
    silent = events.Log("/dev/null")
    pid_files.update(app, silent)
    assert (theirs / "new.pid").read_text() == "4711"
    assert stat.S_IMODE((theirs / "new.pid").stat().st_mode) == 0o644
    (theirs / "new.pid").unlink()
    link_of_theirs(theirs / "new.pid", private)
    private.write_text("4711")
    monkeypatch.setattr(pid_files, "_wanted", lambda _: {})
    pid_files.update(app, silent)
    assert sorted(os.listdir(theirs)) == ["hard.pid", "link.pid", "new.pid"]
    private.write_bytes(CONTENT)


def test_reports_neither_fill_nor_empty_another_directory(
    theirs: Path, private: Path, tmp_path: Path
) -> None:
    """The oldest are removed: behind a link that would be somebody else's files."""
    ours = tmp_path / "ours"
    ours.mkdir()
    for number in range(report_files.KEPT + 2):
        (ours / f"{number}.json").write_text("{}")
    link_of_theirs(theirs / "reports", ours)
    for directory in (theirs / "reports", theirs / "reports" / "app"):
        with pytest.raises(PermissionError):
            report_files.add(str(directory), "new", {"app": "app"})
    assert len(os.listdir(ours)) == report_files.KEPT + 2
    report_files.add(str(theirs / "own" / "app"), "new", {"app": "app"})
    assert os.listdir(theirs / "own" / "app") == ["new.json"]
    assert private.read_bytes() == CONTENT


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda p: os.symlink("none", p)])
def test_what_is_no_report_keeps_nobody_waiting(
    theirs: Path, private: Path, make: Callable[[Path], None]
) -> None:
    """The supervisor would wait for ever at a FIFO, and all apps with it."""
    directory = theirs / "reports"
    report = {"app": "app", "started_at": "now"}
    for number in range(report_files.KEPT):
        report_files.add(str(directory), f"old-{number}", report)
    make(directory / "new.json")
    os.utime(directory / "new.json", (0, 0), follow_symlinks=False)
    report_files.add(str(directory), "new", report)
    assert (directory / "new.2.json").is_file()
    assert private.read_bytes() == CONTENT


def test_flush_empties_no_other_file(theirs: Path, private: Path) -> None:
    """The command is root's, and the log may be a link by now."""
    link_of_theirs(theirs / "app.log", private)
    with pytest.raises(PermissionError):
        flush._empty(str(theirs / "app.log"))
    (theirs / "own.log").write_text("lines\n")
    flush._empty(str(theirs / "own.log"))
    assert (theirs / "own.log").read_text() == ""


def test_what_a_user_could_not_read_is_in_no_report(
    theirs: Path, private: Path
) -> None:
    """The last words of a program are those in its own log."""
    link_of_theirs(theirs / "app.log", private)
    assert log_tail.last_lines({str(theirs / "app.log"): 0}, 1) == []


def test_no_file_of_another_user_gets_the_mode_of_a_socket(
    theirs: Path, private: Path
) -> None:
    """A program put it where its socket was, before it asked for the path.

    The kernel may be told to allow such names (fs.protected_hardlinks).
    """
    who = Identity(uid=NOBODY, gid=NOBODY)
    path, beside = str(theirs / "app.sock"), str(theirs / "app.sock.gapless-2")
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        first = place.bind_first(one, path, 1, who)
        os.chmod(path, 0o777)
        two.bind(beside)
        os.unlink(beside)
        os.link(private, beside)
        with pytest.raises(OSError, match="another file"):
            place.put(place.bind_beside(two, path, 2, who, first), [first])
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert private.stat().st_uid == 0
