"""What fails of our own is told where it can be, and ends nothing."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.base.events import Log
from gapless.base.outside import faults


@pytest.fixture
def standard_error() -> Iterator[int]:
    """Return what lets a path be standard error."""
    before = os.dup(2)
    yield 2
    os.dup2(before, 2)
    os.close(before)


def test_a_full_disk_ends_nobody_who_tells_of_a_fault(standard_error: int) -> None:
    """Standard error is a file."""
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, standard_error)
    os.close(full)
    faults.write("gapless keeper: it failed")


def test_what_is_told_cannot_steer_a_terminal(
    standard_error: int, tmp_path: Path
) -> None:
    """Lines stay lines; each other control character is escaped."""
    path = tmp_path / "supervisor.err"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, standard_error)
    os.close(file)
    faults.write("gapless: one\n\ttwo \x1b[2J \udcff\n")
    assert path.read_bytes() == b"gapless: one\n\ttwo \\x1b[2J \\udcff\n"


def test_a_fault_without_a_descriptor_left_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What would show where it came from cannot be loaded."""
    monkeypatch.setitem(sys.modules, "traceback", None)
    assert faults.traceback_of(ValueError("it is odd")) == "ValueError('it is odd')"


def test_a_server_that_refuses_at_the_close_does_not_end_the_own_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS, CIFS and FUSE free the number, and fail."""
    close = os.close

    def fails(descriptor: int) -> None:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        close(descriptor)
        if is_file:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "close", fails)
    path = tmp_path / "gapless.log"
    log = Log(str(path))
    log.write("one")
    path.unlink()
    log.write("two")
    log.write("three")
    found = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert found == ["two", "three"]
