"""Real programs that write more than a disk or a pipe holds."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.keeper.logs.log_file import LogFile
from gapless.keeper.logs.rendering import Rendering
from gapless.keeper.logs.stream import Status, Stream, make_pipe
from gapless.keeper.spawn import spawn
from gapless.keeper.spawn_request import SpawnRequest

DEADLINE_S = 120.0
LINE_BYTES = 100
PREFIX_BYTES = len("HH:MM:SS: ")
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x00020000, 0x4000, 1 << 18

COUNTING = """
import os, sys
end, step = int(sys.argv[1]), 5000
for start in range(0, end, step):
    numbers = range(start, min(end, start + step))
    block = "".join([f"{n:010d} ".ljust(99, "x") + "\\n" for n in numbers]).encode()
    while block:
        block = block[os.write(1, block):]
"""

AFTER_READER = """
import os, sys, signal
os.write(1, b"before\\n")
sys.stdin.readline()
os.write(1, b"after\\n")
os.close(1)
signal.pause()
"""


class Running:
    """A program whose standard output goes to a log file."""

    def __init__(self, file: LogFile, *argv: str) -> None:
        self.file = file
        read_end, write_end = make_pipe()
        self.stream = Stream(
            read_end,
            (file,),
            Rendering(
                app="shop",
                generation=1,
                ordinal=0,
                stream="out",
                date_format="%H:%M:%S",
            ),
        )
        request = SpawnRequest(
            argv=argv,
            environment={"PATH": os.environ["PATH"]},
            directory="/",
            stdout=write_end,
            stderr=2,
            filtered=False,
        )
        self.spawned = spawn(request)
        os.close(write_end)

    def transfer(self, wanted: Status) -> None:
        """Transfer as the keeper does, until the stream has the status *wanted*."""
        poll = select.poll()
        poll.register(self.stream.read_fd, select.POLLIN)
        deadline = time.monotonic() + DEADLINE_S
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            status = self.stream.transfer(time.time())
            if status is wanted:
                return
            assert status is Status.OPEN, self.file.error
        raise TimeoutError(f"not {wanted.value} after {DEADLINE_S:g} s")

    def is_alive(self) -> bool:
        """Return whether the program is alive."""
        return not select.select([self.spawned.pidfd], [], [], 0)[0]

    def close(self) -> None:
        """End the program."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.spawned.pidfd, signal.SIGKILL)
        os.waitpid(self.spawned.pid, 0)
        os.close(self.spawned.pidfd)
        self.stream.close()
        self.file.close()


@contextlib.contextmanager
def counting(path: Path, lines: int, **wanted: int) -> Iterator[Running]:
    """Run a program that writes numbered lines of 100 bytes."""
    settings: dict[str, Any] = {"rotate_bytes": 0, "keep": 5} | wanted
    file = LogFile(str(path), rotate_s=0.0, **settings)
    running = Running(file, sys.executable, "-c", COUNTING, str(lines))
    try:
        yield running
    finally:
        running.close()


def numbers(path: Path) -> Iterator[int]:
    """Yield the numbers in the log and in the files moved aside, oldest first."""
    aside = len(list(path.parent.glob(f"{path.name}.*")))
    for file in [*(Path(f"{path}.{n}") for n in range(aside, 0, -1)), path]:
        with file.open("rb") as lines:
            for line in lines:
                assert len(line) == PREFIX_BYTES + LINE_BYTES, (file, line)
                yield int(line[PREFIX_BYTES : PREFIX_BYTES + 10])


def count_to(lines: int, path: Path) -> None:
    """Check that every line is there once and in order."""
    for expected, number in enumerate(numbers(path)):
        assert number == expected
        lines -= 1
    assert lines == 0


@pytest.mark.parametrize(
    "megabytes", [200, pytest.param(1000, marks=pytest.mark.soak)], ids="{} MB".format
)
def test_no_line_is_lost_across_rotated_files(tmp_path: Path, megabytes: int) -> None:
    """A program that writes as fast as it can waits only for the disk."""
    lines, path = megabytes * 10_000, tmp_path / "shop.log"
    with counting(path, lines, rotate_bytes=20_000_000, keep=100) as running:
        running.transfer(Status.ENDED)
    assert len(list(tmp_path.iterdir())) >= megabytes // 20
    assert all(file.stat().st_size <= 20_000_000 for file in tmp_path.iterdir())
    count_to(lines, path)


def in_a_child(act: Callable[[], None]) -> None:
    """Run *act* in a forked child; skip or fail as it does."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            act()
            os.write(write_end, b"done")
        except pytest.skip.Exception as skipped:
            os.write(write_end, f"skip {skipped}".encode())
        except BaseException:  # noqa: BLE001 - reported to the parent
            os.write(write_end, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(write_end)
    ready = select.select([read_end], [], [], DEADLINE_S)[0]
    result = os.read(read_end, 4096).decode() if ready else "too slow"
    os.close(read_end)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if result.startswith("skip"):
        pytest.skip(result)
    assert result == "done"


def mount_small_disk(path: Path, size_bytes: int) -> None:
    """Mount a file system in memory that only this process sees.

    It is unmounted when the process ends.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    size = f"size={size_bytes}".encode()
    if (
        libc.unshare(CLONE_NEWNS)
        or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        or libc.mount(b"tmpfs", bytes(path), b"tmpfs", 0, size)
    ):
        pytest.skip(f"cannot mount here: {os.strerror(ctypes.get_errno())}")


def fill(disk: Path) -> Path:
    """Fill half of the disk with another file."""
    ballast = disk / "ballast"
    ballast.write_bytes(b"x" * (4 << 20))
    return ballast


@pytest.mark.parametrize("rotate_bytes", [0, 300_000], ids=["one file", "rotated"])
def test_disk_that_is_full_loses_no_line(tmp_path: Path, rotate_bytes: int) -> None:
    """The program waits; when there is room again, it continues where it was."""
    disk, lines = tmp_path / "disk", 50_000
    disk.mkdir()

    def act() -> None:
        mount_small_disk(disk, 8 << 20)
        ballast, path = fill(disk), disk / "shop.log"
        with counting(path, lines, rotate_bytes=rotate_bytes, keep=99) as running:
            running.transfer(Status.BLOCKED)
            assert running.file.error == "no space left on device"
            assert running.is_alive()
            assert running.stream.retry(time.time()) is Status.BLOCKED
            ballast.unlink()
            assert running.stream.retry(time.time()) is Status.OPEN
            running.transfer(Status.ENDED)
        count_to(lines, path)

    in_a_child(act)


def test_disk_that_is_freed_by_removing_the_log_goes_on(tmp_path: Path) -> None:
    """The removed file is closed, so that its room is free; the rest is whole."""
    disk, lines = tmp_path / "disk", 50_000
    disk.mkdir()

    def act() -> None:
        mount_small_disk(disk, 4 << 20)
        path = disk / "shop.log"
        with counting(path, lines) as running:
            running.transfer(Status.BLOCKED)
            whole = path.read_bytes().count(b"\n")
            path.unlink()
            assert running.stream.retry(time.time()) is Status.OPEN
            running.transfer(Status.ENDED)
        assert list(numbers(path)) == list(range(whole, lines))

    in_a_child(act)


def test_file_that_may_not_grow_loses_no_line(tmp_path: Path) -> None:
    """As with a quota of an ordinary user: a write may be cut at any byte."""
    path, lines = tmp_path / "shop.log", 90_000

    def act() -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        with counting(path, lines) as running:
            for size in range(1_000_003, 4_000_000, 700_001):
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
                running.transfer(Status.BLOCKED)
                assert path.stat().st_size == size
                assert running.is_alive()
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            running.transfer(Status.ENDED)
        count_to(lines, path)

    in_a_child(act)


def test_program_outlives_the_reader_of_its_log(tmp_path: Path) -> None:
    """It gets no EPIPE; another reader opens the pipe through the program's /proc."""
    file = LogFile(str(tmp_path / "shop.log"), rotate_bytes=0, rotate_s=0, keep=1)
    read_end, write_end = make_pipe()
    go_read, go_write = os.pipe()
    request = SpawnRequest(
        argv=(sys.executable, "-c", AFTER_READER.replace("sys.stdin", "os.fdopen(5)")),
        environment={"PATH": os.environ["PATH"]},
        directory="/",
        stdout=write_end,
        stderr=2,
        descriptors={5: go_read},
        filtered=False,
    )
    spawned = spawn(request)
    os.close(write_end)
    os.close(go_read)
    try:
        assert select.select([read_end], [], [], DEADLINE_S)[0]
        found = os.open(f"/proc/{spawned.pid}/fd/1", os.O_RDONLY | os.O_NONBLOCK)
        os.close(read_end)
        os.write(go_write, b"go\n")
        stream = Stream(
            found,
            (file,),
            Rendering(
                app="shop", generation=1, ordinal=0, stream="out", date_format="P"
            ),
        )
        poll = select.poll()
        poll.register(found, select.POLLIN)
        status = Status.OPEN
        while status is Status.OPEN and poll.poll(DEADLINE_S * 1000):
            status = stream.transfer(time.time())
        stream.close()
        assert status is Status.ENDED
        assert Path(file.path).read_text() == "P: before\nP: after\n"
    finally:
        file.close()
        os.close(go_write)
        signal.pidfd_send_signal(spawned.pidfd, signal.SIGKILL)
        os.waitpid(spawned.pid, 0)
        os.close(spawned.pidfd)
