"""A program's bytes on the way from its pipe to its log file."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gapless.base import clock
from gapless.keeper.logs import stream
from gapless.keeper.logs.log_file import LogFile
from gapless.keeper.logs.rendering import Rendering
from gapless.keeper.logs.stream import Status, Stream, make_pipe

NOW = 1_700_000_000.123
STAMP = clock.stamp(NOW)
F_GETPIPE_SZ = 1032


class Program:
    """The write end of a pipe, and the stream that reads it."""

    def __init__(self, file: LogFile, **wanted: Any) -> None:
        read_end, self._write_end = make_pipe()
        os.set_blocking(self._write_end, False)
        fields: dict[str, Any] = {
            "app": "shop",
            "generation": 2,
            "ordinal": 0,
            "stream": "out",
            "format": "text",
            "date_format": "",
        }
        self.stream = Stream(read_end, (file,), Rendering(**{**fields, **wanted}))

    def print(self, text: bytes) -> None:
        """Write to the pipe, as long as there is room."""
        while text:
            text = text[os.write(self._write_end, text) :]

    def exit(self) -> None:
        """Close the write end."""
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1


Start = Callable[..., Program]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the log."""
    return tmp_path / "shop.log"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Return what starts programs; they share one log file unless another is given."""
    shared = LogFile(str(path), rotate_bytes=0, rotate_s=0.0, keep=5)
    programs: list[Program] = []

    def begin(file: LogFile = shared, **wanted: Any) -> Program:
        programs.append(Program(file, **wanted))
        return programs[-1]

    yield begin
    for program in programs:
        program.exit()
        program.stream.close()
    shared.close()


def full_disk(path: Path) -> LogFile:
    """Return a log file whose disk is full until *path* is removed."""
    path.symlink_to("/dev/full")
    return LogFile(str(path), rotate_bytes=0, rotate_s=0.0, keep=5)


# --- the pipe -----------------------------------------------------------------


def test_pipe_holds_a_megabyte() -> None:
    """Less if the kernel's quota allows less."""
    read_end, write_end = make_pipe()
    try:
        assert fcntl.fcntl(write_end, F_GETPIPE_SZ) in (1 << 20, 1 << 19, 65536, 8192)
        assert not os.get_inheritable(read_end)
        assert not os.get_inheritable(write_end)
        assert not os.get_blocking(read_end)
        assert os.get_blocking(write_end)
    finally:
        os.close(read_end)
        os.close(write_end)


def test_writer_survives_its_reader() -> None:
    """It gets no EPIPE and no SIGPIPE; another reader may continue."""
    read_end, write_end = make_pipe()
    os.set_blocking(write_end, False)
    try:
        os.write(write_end, b"before\n")
        os.close(read_end)
        os.write(write_end, b"after\n")
        read_end = os.open(f"/proc/self/fd/{write_end}", os.O_RDONLY)
        assert os.read(read_end, 100) == b"before\nafter\n"
    finally:
        os.close(read_end)
        os.close(write_end)


def test_reader_sees_the_end() -> None:
    """Though the writer can read too, the pipe ends with the last writer."""
    read_end, write_end = make_pipe()
    with pytest.raises(BlockingIOError):
        os.read(read_end, 1)
    os.close(write_end)
    assert os.read(read_end, 1) == b""
    os.close(read_end)


# --- formats ------------------------------------------------------------------


def test_text_tells_time_and_place(start: Start, path: Path) -> None:
    """The prefix has time, generation, ordinal, and the name of the stream."""
    program = start()
    program.print(b"one\ntwo\n")
    assert program.stream.transfer(NOW) is Status.OPEN
    prefix = f"{STAMP} 2.0 out | "
    assert path.read_text() == f"{prefix}one\n{prefix}two\n"


def test_empty_lines_are_lines(start: Start, path: Path) -> None:
    """Paragraphs of a program stay as they were."""
    program = start()
    program.print(b"\n\na\n")
    program.stream.transfer(NOW)
    prefix = f"{STAMP} 2.0 out | "
    assert path.read_text() == f"{prefix}\n{prefix}\n{prefix}a\n"


def test_date_format_is_the_apps(start: Start, path: Path) -> None:
    """The format is one of strftime(3), as in PM2."""
    program = start(date_format="%Y-%m-%d %H:%M")
    program.print(b"one\n")
    program.stream.transfer(NOW)
    date = time.strftime("%Y-%m-%d %H:%M", time.localtime(NOW))
    assert path.read_text() == f"{date}: one\n"


def test_json_is_a_line_each(start: Start, path: Path) -> None:
    """Quotes, control characters and other alphabets are read back unchanged."""
    program = start(format="json", stream="err")
    program.print('a "b"\t\x01\nżółw\n'.encode())
    program.stream.transfer(NOW)
    fields = {
        "time": STAMP,
        "app": "shop",
        "generation": 2,
        "ordinal": 0,
        "stream": "err",
    }
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert found == [
        fields | {"message": 'a "b"\t\x01'},
        fields | {"message": "żółw"},
    ]


def test_bytes_that_are_no_text_pass_through(start: Start, path: Path) -> None:
    """Text keeps the bytes of the program; JSON cannot."""
    program = start()
    program.print(b"\xff\x00\n")
    program.stream.transfer(NOW)
    assert path.read_bytes().endswith(b" | \xff\x00\n")
    path.unlink()
    other = start(format="json")
    other.print(b"\xffa\xe2\n")
    other.stream.transfer(NOW)
    assert json.loads(path.read_text())["message"] == "\ufffda\ufffd"


def test_output_may_be_discarded(start: Start) -> None:
    """The pipe is emptied nevertheless."""
    nowhere = LogFile("NULL", rotate_bytes=1, rotate_s=1.0, keep=1)
    program = start(nowhere)
    program.print(b"x" * 100_000 + b"\n")
    assert program.stream.transfer(NOW) is Status.OPEN
    program.exit()
    assert program.stream.transfer(NOW) is Status.ENDED


# --- lines --------------------------------------------------------------------


def messages(path: Path) -> list[str]:
    """Return the lines of the program, without their prefix."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    return [line.partition(" | ")[2] for line in lines]


def test_line_waits_for_its_end(start: Start, path: Path) -> None:
    """A line that is written in two parts is one line."""
    program = start()
    program.print(b"one\nhalf")
    program.stream.transfer(NOW)
    assert messages(path) == ["one"]
    program.print(b" done\n")
    program.stream.transfer(NOW)
    assert messages(path) == ["one", "half done"]


def test_last_line_needs_no_end(start: Start, path: Path) -> None:
    """The program may die in the middle of it."""
    program = start()
    program.print(b"one\nhalf")
    program.exit()
    assert program.stream.transfer(NOW) is Status.ENDED
    assert messages(path) == ["one", "half"]


def test_program_that_ends_without_a_word_leaves_none(start: Start, path: Path) -> None:
    """There is no empty line and no file."""
    program = start()
    program.exit()
    assert program.stream.transfer(NOW) is Status.ENDED
    assert not path.exists()


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_line_is_broken_beyond_its_limit(start: Start, path: Path, extra: int) -> None:
    """64 KiB fit; no more is kept in memory of a line without an end."""
    program = start()
    size = stream.LONGEST_LINE_BYTES + extra
    program.print(b"x" * size)
    program.stream.transfer(NOW)
    program.print(b"\nnext\n")
    program.stream.transfer(NOW)
    sizes = [len(message) for message in messages(path)]
    assert sizes == ([size, 4] if extra <= 0 else [stream.LONGEST_LINE_BYTES, 1, 4])


def test_line_is_not_broken_inside_a_character(start: Start, path: Path) -> None:
    """Each part is valid UTF-8."""
    program = start()
    text = "x" + "€" * 30_000
    program.print(text.encode())
    program.stream.transfer(NOW)
    program.print(b"\n")
    program.stream.transfer(NOW)
    pieces = messages(path)
    assert "".join(pieces) == text
    assert len(pieces) == 2


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=50,
)
@given(st.lists(st.binary(max_size=40), max_size=30))
def test_no_byte_is_lost_however_it_is_written(
    start: Start, path: Path, pieces: list[bytes]
) -> None:
    """Lines may arrive in pieces of any size."""
    path.unlink(missing_ok=True)
    program = start(date_format="P")
    for piece in pieces:
        program.print(piece)
        assert program.stream.transfer(NOW) is Status.OPEN
    program.exit()
    assert program.stream.transfer(NOW) is Status.ENDED
    printed = b"".join(pieces)
    wanted = [b"P: " + line for line in printed.removesuffix(b"\n").split(b"\n")]
    written = path.read_bytes() if path.exists() else b""
    assert written == (b"\n".join(wanted) + b"\n" if printed else b"")


def test_streams_share_a_file(start: Start, path: Path) -> None:
    """Each line stays whole, whichever stream is transferred first."""
    first, second = start(), start(stream="err", ordinal=1)
    first.print(b"a\nhal")
    second.print(b"b\n")
    first.stream.transfer(NOW)
    second.stream.transfer(NOW)
    first.print(b"f\n")
    first.stream.transfer(NOW)
    assert path.read_text() == (
        f"{STAMP} 2.0 out | a\n{STAMP} 2.1 err | b\n{STAMP} 2.0 out | half\n"
    )


def test_one_transfer_is_bounded(tmp_path: Path) -> None:
    """A program that writes as fast as the keeper reads does not delay the others."""
    endless = tmp_path / "endless"
    endless.touch()
    os.truncate(endless, 1 << 30)
    nowhere = LogFile("NULL", rotate_bytes=0, rotate_s=0.0, keep=5)
    program = Program(nowhere)
    descriptor = os.open(endless, os.O_RDONLY)
    try:
        os.dup2(descriptor, program.stream.read_fd, inheritable=False)
        assert program.stream.transfer(NOW) is Status.OPEN
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == stream.PIPE_BYTES
    finally:
        os.close(descriptor)
        program.exit()
        program.stream.close()


# --- a full disk --------------------------------------------------------------


def test_full_disk_stops_the_reading(start: Start, path: Path) -> None:
    """What was read is kept; the rest stays in the pipe, and the program waits."""
    file = full_disk(path)
    program = start(file)
    program.print(b"one\n")
    assert program.stream.transfer(NOW) is Status.BLOCKED
    program.print(b"two\n")
    assert program.stream.retry(NOW) is Status.BLOCKED
    assert select.select([program.stream.read_fd], [], [], 0)[0]
    assert file.error == os.strerror(errno.ENOSPC).lower()
    path.unlink()
    assert program.stream.retry(NOW) is Status.OPEN
    assert messages(path) == ["one", "two"]
    file.close()


def test_full_disk_stops_all_who_share_the_file(start: Start, path: Path) -> None:
    """No stream writes into the middle of another's chunk."""
    file = full_disk(path)
    first, second = start(file), start(file, stream="err")
    first.print(b"one\n")
    second.print(b"two\n")
    assert first.stream.transfer(NOW) is Status.BLOCKED
    assert second.stream.transfer(NOW) is Status.BLOCKED
    path.unlink()
    assert second.stream.retry(NOW) is Status.OPEN
    assert first.stream.retry(NOW) is Status.OPEN
    assert messages(path) == ["one", "two"]
    file.close()


def test_a_last_half_line_waits_for_the_disk(start: Start, path: Path) -> None:
    """The program has exited; its half line is still written."""
    file = full_disk(path)
    program = start(file)
    program.print(b"half")
    program.exit()
    assert program.stream.transfer(NOW) is Status.BLOCKED
    path.unlink()
    assert program.stream.retry(NOW) is Status.ENDED
    assert messages(path) == ["half"]
    file.close()


# --- an instance that ends while others hold its pipe -------------------------


def test_finish_takes_what_is_left(start: Start, path: Path) -> None:
    """The write end is still open, and `finish` does not wait for more."""
    program = start()
    program.print(b"x" * 99 + b"\nhalf")
    assert program.stream.finish(NOW)
    assert messages(path) == ["x" * 99, "half"]


def test_finish_takes_a_full_pipe(start: Start, path: Path) -> None:
    """All of it, though one transfer moves less."""
    program = start()
    line = b"y" * 4095 + b"\n"
    with pytest.raises(BlockingIOError):
        program.print(line * 4096)
    assert program.stream.finish(NOW)
    size = fcntl.fcntl(program.stream.read_fd, F_GETPIPE_SZ)
    assert messages(path) == ["y" * 4095] * (size // len(line))


def test_finish_waits_for_the_disk(start: Start, path: Path) -> None:
    """`retry` continues until all is written."""
    file = full_disk(path)
    program = start(file)
    program.print(b"one\nhalf")
    assert not program.stream.finish(NOW)
    assert program.stream.retry(NOW) is Status.BLOCKED
    path.unlink()
    assert program.stream.retry(NOW) is Status.ENDED
    assert messages(path) == ["one", "half"]
    file.close()
