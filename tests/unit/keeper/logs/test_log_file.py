"""A log file holds whole lines, also if others move, empty or remove it."""

from __future__ import annotations

import errno
import os
import re
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.keeper.logs import log_file

NOW = 1_700_000_000.0
HOUR_S = 3600.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file whose directory does not exist yet."""
    return tmp_path / "logs" / "app.log"


def make(path: Path, **wanted: Any) -> log_file.LogFile:
    """Return a log file; it is moved aside only if *wanted* asks for that."""
    settings = {"rotate_bytes": 0, "rotate_s": 0.0, "keep": 5} | wanted
    return log_file.LogFile(str(path), **settings)


def texts(path: Path) -> dict[str, str]:
    """Return the contents of the file and of those moved aside, by suffix."""
    return {
        file.name.removeprefix(path.name): file.read_text()
        for file in path.parent.iterdir()
    }


def last_written(path: Path, when: float) -> None:
    """Set the time at which the file was written last."""
    os.utime(path, (when, when))


def test_lines_are_appended(path: Path) -> None:
    """They follow what the file holds; its directory is made."""
    file = make(path)
    assert file.write(b"one\n", NOW)
    file.close()
    assert make(path).write(b"two\n", NOW)
    assert path.read_text() == "one\ntwo\n"


def test_nothing_is_opened_before_the_first_line(path: Path) -> None:
    """An app that prints nothing has no file."""
    make(path)
    assert not path.parent.exists()


@pytest.mark.parametrize("name", ["NULL", "/dev/null"])
def test_output_may_be_discarded(name: str, tmp_path: Path) -> None:
    """In a PM2 declaration the file is then NULL."""
    file = make(Path(name))
    assert file.discards
    assert file.write(b"one\n", NOW)
    assert not (tmp_path / "NULL").exists()


# --- moved aside --------------------------------------------------------------


def test_file_never_grows_beyond_its_size(path: Path) -> None:
    """The file is changed between two lines, also within one chunk."""
    file = make(path, rotate_bytes=10, keep=9)
    assert file.write(b"".join(b"line%d\n" % number for number in range(5)), NOW)
    assert texts(path) == {
        "": "line4\n",
        ".1": "line3\n",
        ".2": "line2\n",
        ".3": "line1\n",
        ".4": "line0\n",
    }


def test_file_may_be_filled_exactly(path: Path) -> None:
    """A file as large as the limit is within it."""
    file = make(path, rotate_bytes=12)
    assert file.write(b"line1\nline2\nline3\n", NOW)
    assert texts(path) == {".1": "line1\nline2\n", "": "line3\n"}


def test_line_larger_than_a_file_has_one_of_its_own(path: Path) -> None:
    """No line is cut so that it fits."""
    file = make(path, rotate_bytes=4)
    assert file.write(b"a\nlonger than it\nb\n", NOW)
    assert texts(path) == {".2": "a\n", ".1": "longer than it\n", "": "b\n"}


def test_as_many_are_kept_as_wanted(path: Path) -> None:
    """The oldest file is removed."""
    file = make(path, rotate_bytes=2, keep=2)
    for number in range(6):
        assert file.write(b"%d\n" % number, NOW)
    assert texts(path) == {"": "5\n", ".1": "4\n", ".2": "3\n"}


def test_settings_may_change(path: Path) -> None:
    """A reload may bring new settings; the file stays open."""
    file = make(path)
    assert file.write(b"one\ntwo\n", NOW)
    file.rotate_bytes = 4
    assert file.write(b"6\n", NOW)
    assert texts(path) == {"": "6\n", ".1": "one\ntwo\n"}


def test_none_is_kept_if_none_is_wanted(path: Path) -> None:
    """With keep = 0 only the newest lines are there."""
    file = make(path, rotate_bytes=2, keep=0)
    for number in range(3):
        assert file.write(b"%d\n" % number, NOW)
    assert texts(path) == {"": "2\n"}


def test_gap_that_a_crash_left_is_filled(path: Path) -> None:
    """After a kill between two renames, files beyond the gap keep their names."""
    file = make(path, rotate_bytes=2)
    path.parent.mkdir()
    (path.parent / "app.log.1").write_text("newer\n")
    (path.parent / "app.log.3").write_text("older\n")
    assert file.write(b"a\nb\n", NOW)
    assert texts(path) == {"": "b\n", ".1": "a\n", ".2": "newer\n", ".3": "older\n"}


def test_file_of_another_period_is_moved_aside(path: Path) -> None:
    """The time of its last line counts, so a restart of the keeper changes nothing."""
    file = make(path, rotate_s=HOUR_S)
    assert file.write(b"old\n", NOW)
    last_written(path, NOW)
    assert file.write(b"same hour\n", NOW + 1)
    last_written(path, NOW + 1)
    assert make(path, rotate_s=HOUR_S).write(b"new\n", NOW + HOUR_S)
    assert texts(path) == {".1": "old\nsame hour\n", "": "new\n"}


def test_a_server_whose_clock_is_behind_keeps_the_files(path: Path) -> None:
    """The time of a file is the server's: one is moved aside once in a period."""
    file = make(path, rotate_s=HOUR_S)
    for number in range(3):
        assert file.write(b"a%d\n" % number, NOW)
        last_written(path, NOW - HOUR_S)
    for number in range(3):
        assert file.write(b"b%d\n" % number, NOW + HOUR_S)
        last_written(path, NOW)
    assert texts(path) == {"": "b0\nb1\nb2\n", ".1": "a0\na1\na2\n"}


def test_clock_that_is_set_back_moves_nothing(path: Path) -> None:
    """Otherwise the file would be moved aside for every line."""
    file = make(path, rotate_s=HOUR_S)
    assert file.write(b"one\n", NOW)
    last_written(path, NOW)
    assert file.write(b"two\n", NOW - 2 * HOUR_S)
    assert texts(path) == {"": "one\ntwo\n"}


def test_file_that_cannot_be_moved_grows_on(path: Path) -> None:
    """A directory has the name that it would get; no line waits for that."""
    file = make(path, rotate_bytes=2, keep=1)
    (path.parent / "app.log.1" / "x").mkdir(parents=True)
    assert file.write(b"a\nb\nc\n", NOW)
    assert path.read_text() == "a\nb\nc\n"


def test_device_is_never_moved_aside(tmp_path: Path) -> None:
    """A log may be a terminal or a FIFO."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        file = make(fifo, rotate_bytes=1, rotate_s=1.0)
        assert file.write(b"one\n", NOW)
        assert file.write(b"two\n", NOW + 10)
        assert os.read(reader, 100) == b"one\ntwo\n"
        file.close()
    finally:
        os.close(reader)
    assert list(tmp_path.iterdir()) == [fifo]


# --- changed by others --------------------------------------------------------


def test_file_that_was_moved_is_opened_anew(path: Path) -> None:
    """Logrotate moves it, and expects the next line in a new file."""
    file = make(path)
    assert file.write(b"one\n", NOW)
    path.rename(f"{path}-20261124")
    assert file.write(b"two\n", NOW)
    assert texts(path) == {"-20261124": "one\n", "": "two\n"}


def test_directory_that_was_removed_is_made_anew(path: Path) -> None:
    """A user may clean up meanwhile."""
    file = make(path)
    assert file.write(b"one\n", NOW)
    path.unlink()
    path.parent.rmdir()
    assert file.write(b"two\n", NOW)
    assert texts(path) == {"": "two\n"}


def test_file_that_was_emptied_is_appended_to(path: Path) -> None:
    """As by logrotate's copytruncate: no hole, and the size counts from zero."""
    file = make(path, rotate_bytes=12)
    assert file.write(b"line1\nline2\n", NOW)
    os.truncate(path, 0)
    assert file.write(b"line3\nline4\n", NOW)
    assert texts(path) == {"": "line3\nline4\n"}


# --- files that take nothing --------------------------------------------------


def test_full_disk_keeps_the_chunk(tmp_path: Path) -> None:
    """It is written once there is room; meanwhile `error` has the reason."""
    link = tmp_path / "app.log"
    link.symlink_to("/dev/full")
    file = make(link)
    assert not file.write(b"one\n", NOW)
    assert file.error == os.strerror(errno.ENOSPC).lower()
    assert not file.flush(NOW)
    link.unlink()
    assert file.flush(NOW)
    assert file.error == ""
    assert link.read_text() == "one\n"


def test_path_that_cannot_be_opened_keeps_the_chunk(path: Path) -> None:
    """The chunk is written once the path can be opened."""
    path.mkdir(parents=True)
    file = make(path)
    assert not file.write(b"one\n", NOW)
    assert file.error == os.strerror(errno.EISDIR).lower()
    path.rmdir()
    assert file.flush(NOW)
    assert texts(path) == {"": "one\n"}


@pytest.fixture
def remote_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let close(2) free the number of a file and fail, as on NFS, CIFS and FUSE."""
    close = os.close

    def fails(descriptor: int) -> None:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        close(descriptor)
        if is_file:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "close", fails)


@pytest.mark.usefixtures("remote_disk")
def test_a_server_that_refuses_at_the_close_stops_no_log(path: Path) -> None:
    """The file is opened again, and what has got its number meanwhile stays open."""
    file, moved = make(path), path.with_name("moved.log")
    assert file.write(b"one\n", NOW)
    path.rename(moved)
    path.mkdir()
    assert not file.write(b"two\n", NOW)
    foreign = os.open(path.with_name("foreign"), os.O_CREAT | os.O_WRONLY)
    path.rmdir()
    assert file.flush(NOW)
    os.write(foreign, b"whole")
    assert (path.read_text(), moved.read_text()) == ("two\n", "one\n")
    file.close()


def test_fifo_without_reader_does_not_stop_us(tmp_path: Path) -> None:
    """A blocking open would wait for a reader."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert not make(fifo).write(b"one\n", NOW)


@pytest.fixture
def small_disk() -> Iterator[int]:
    """Let no file become larger than 10 bytes: a write is cut there, the next fails.

    As on a full disk, and without being root (setrlimit(2); Python ignores SIGXFSZ).
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    yield 10
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def grow() -> None:
    """Undo `small_disk`: files may become larger again."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


LINES = b"line1\nline2\nline3\n"


def test_half_a_line_is_completed(path: Path, small_disk: int) -> None:
    """The disk took a part of the line: the rest follows, nothing is repeated."""
    file = make(path)
    assert not file.write(LINES, NOW)
    assert path.read_bytes() == LINES[:small_disk]
    assert not file.flush(NOW)
    grow()
    assert file.flush(NOW)
    assert path.read_bytes() == LINES


@pytest.mark.usefixtures("small_disk")
def test_half_a_line_in_a_removed_file_is_written_whole(path: Path) -> None:
    """The log was removed to make room, and half of the line with it."""
    file = make(path)
    assert not file.write(LINES, NOW)
    path.unlink()
    grow()
    assert file.flush(NOW)
    assert path.read_bytes() == LINES[6:]


@pytest.mark.usefixtures("small_disk")
def test_half_a_line_in_an_emptied_file_is_written_whole(path: Path) -> None:
    """The log was emptied to make room, and half of the line is lost."""
    file = make(path)
    assert not file.write(LINES, NOW)
    os.truncate(path, 0)
    grow()
    assert file.flush(NOW)
    assert path.read_bytes() == LINES[6:]


@pytest.mark.usefixtures("small_disk")
def test_half_a_line_in_a_moved_file_is_completed_there(path: Path) -> None:
    """The rest of the line follows in the moved file, the next chunk in the new one."""
    file = make(path)
    assert not file.write(LINES, NOW)
    path.rename(f"{path}.old")
    grow()
    assert file.flush(NOW)
    assert file.write(b"line4\n", NOW)
    assert texts(path) == {".old": LINES.decode(), "": "line4\n"}


# --- lines that are given up --------------------------------------------------


def test_lines_that_were_given_up_are_told_of(tmp_path: Path) -> None:
    """No line waits until the file has said how many were lost."""
    link = tmp_path / "app.log"
    link.symlink_to("/dev/full")
    file = make(link)
    assert not file.write(b"one\ntwo\n", NOW)
    file.give_up()
    assert file.lost_lines == 2
    assert file.write(b"three\n", NOW), "it does not wait again"
    file.write_notice(NOW)
    assert file.lost_lines == 3
    link.unlink()
    assert file.write(b"four\n", NOW)
    reason = os.strerror(errno.ENOSPC).lower()
    assert link.read_text() == f"gapless: 3 lines were lost: {reason}\nfour\n"
    assert (file.lost_lines, file.error) == (0, "")


def test_the_notice_needs_no_next_line(tmp_path: Path) -> None:
    """An app may be silent from then on."""
    link = tmp_path / "app.log"
    link.symlink_to("/dev/full")
    file = make(link)
    assert not file.write(b"one\n", NOW)
    file.give_up()
    link.unlink()
    file.write_notice(NOW)
    file.write_notice(NOW)
    assert link.read_text().count("1 line was lost") == 1


def test_half_a_line_is_ended_before_the_notice(path: Path, small_disk: int) -> None:
    """The disk took a part of a line, and the rest was given up: it counts as lost."""
    file = make(path)
    assert not file.write(LINES, NOW)
    file.give_up()
    assert file.lost_lines == 2
    assert path.read_bytes() == LINES[:small_disk]
    grow()
    assert file.write(b"line4\n", NOW)
    first, half, notice, last = path.read_bytes().splitlines()
    assert (first, half, last) == (b"line1", b"line", b"line4")
    assert notice.startswith(b"gapless: 2 lines were lost: ")


@pytest.mark.usefixtures("small_disk")
def test_half_a_line_that_is_gone_needs_no_end(path: Path) -> None:
    """The file was emptied to make room: the notice is its first line."""
    file = make(path)
    assert not file.write(LINES, NOW)
    file.give_up()
    os.truncate(path, 0)
    grow()
    assert file.write(b"line4\n", NOW)
    assert path.read_bytes().startswith(b"gapless: 2 lines were lost: ")


@pytest.mark.usefixtures("small_disk")
def test_lines_are_counted_once_while_a_disk_takes_little(path: Path) -> None:
    """Each line is in the file or in a notice, however often the disk fills."""
    file = make(path)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    written = 0
    for limit in range(7, 700, 13):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        for _ in range(3):
            written += 1
            if not file.write(b"line%d\n" % written, NOW):
                file.give_up()
    grow()
    file.write_notice(NOW)
    lines = path.read_bytes().splitlines()
    notices = [line for line in lines if line.startswith(b"gapless: ")]
    told = [int(line.split()[1]) for line in notices if b" lost: " in line]
    whole = [line for line in lines if re.fullmatch(rb"line\d+", line)]
    # A part of a line may look like a whole one: then it counts as lost as well.
    assert written <= len(whole) + sum(told)
    assert sum(told) <= written
