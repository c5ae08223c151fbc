"""The log is read line by line, once, across rotation, and what is lost is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gapless.base import events
from gapless.notify import journal
from gapless.notify.journal import Journal
from gapless.notify.memory import Place


class Log:
    """A log that is written and read."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "gapless.log"
        self.journal = Journal(str(self.path))
        self.place = Place()

    def write(self, *numbers: int) -> None:
        """Append lines."""
        with self.path.open("ab") as file:
            for number in numbers:
                file.write(
                    json.dumps({"event": "x", "number": number}).encode() + b"\n"
                )

    def rotate(self) -> None:
        """Rotate it as `events.Log` does."""
        os.replace(self.path, f"{self.path}.1")

    def read(self) -> list[int]:
        """Return the numbers of what is new, as it is found by several looks."""
        found: list[int] = []
        while lines := list(self.journal.lines(self.place)):
            found += [each.line["number"] for each in lines if each.line]
            self.place = lines[-1].after
        return found


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Return a log."""
    return Log(tmp_path)


def test_each_line_is_read_once(log: Log) -> None:
    """Also those that came while nobody read."""
    assert log.read() == []
    log.write(1, 2)
    assert log.read() == [1, 2]
    assert log.read() == []
    log.write(3)
    assert Journal(str(log.path)).end().offset == log.path.stat().st_size
    assert log.read() == [3]


def test_who_begins_at_the_end_is_told_nothing_old(log: Log) -> None:
    """Who wants to be told now, wants to be told of what comes."""
    log.write(1)
    log.place = log.journal.end()
    log.write(2)
    assert log.read() == [2]


def test_a_rotation_loses_nothing(log: Log) -> None:
    """The rest of the file is read before the next one."""
    log.write(1)
    assert log.read() == [1]
    log.write(2)
    log.rotate()
    assert log.read() == [2]
    log.write(3)
    assert log.read() == [3]
    log.write(4)
    log.rotate()
    log.write(5)
    assert log.read() == [4, 5]
    assert not log.journal.lost


def test_two_rotations_are_said(log: Log) -> None:
    """What is there still is read."""
    log.write(1)
    assert log.read() == [1]
    log.write(2)
    log.rotate()
    keep = log.path.with_suffix(".kept")
    os.link(f"{log.path}.1", keep)  # so that its inode is not used again
    log.write(3)
    log.rotate()
    log.write(4)
    assert log.read() == [3, 4]
    assert log.journal.lost


def test_a_log_that_was_emptied_is_read_anew(log: Log) -> None:
    """And not the one before it once more."""
    log.write(1)
    log.rotate()
    log.write(2)
    log.place = log.journal.end()
    log.path.write_bytes(b"")
    log.write(7)
    assert log.read() == [7]


def test_a_loss_is_found_once(log: Log) -> None:
    """Also when nothing is there to be read, and when the file before is empty."""
    log.write(1)
    assert log.read() == [1]
    log.path.write_bytes(b"")
    assert log.read() == []
    assert log.journal.lost
    log.journal.lost = False
    assert log.read() == []
    assert not log.journal.lost
    log.write(2)
    assert log.read() == [2]
    log.path.unlink()
    Path(f"{log.path}.1").write_bytes(b"")
    log.path.with_suffix(".other").write_bytes(b"")  # takes the inode, maybe
    log.write(3)
    assert log.read() == [3]
    assert log.journal.lost
    log.path.unlink()
    Path(f"{log.path}.1").unlink()
    assert log.read() == []
    log.journal.lost = False
    assert log.read() == []
    assert not log.journal.lost


def test_half_a_line_waits_for_its_end(log: Log) -> None:
    """The supervisor may be writing it."""
    log.path.write_bytes(b'{"event": "x", "num')
    assert log.read() == []
    with log.path.open("ab") as file:
        file.write(b'ber": 5}\n')
    assert log.read() == [5]


@pytest.mark.parametrize(
    "content", [b"\xff\x00", b"[" * 100_000, b"7", b'"x"', b"", b"{" + b"x" * 600_000]
)
def test_a_line_that_is_none_of_ours_is_passed_over(log: Log, content: bytes) -> None:
    """The lines behind it are read."""
    log.write(1)
    with log.path.open("ab") as file:
        file.write(content + b"\n")
    log.write(2)
    assert log.read() == [1, 2]


def test_a_line_without_an_end_is_given_up(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no more memory than that."""
    monkeypatch.setattr(journal, "LONGEST_LINE_BYTES", 300_000)
    log.path.write_bytes(b"x" * 600_000 + b"\n")
    log.write(2)
    assert log.read() == [2]


def test_what_the_supervisor_writes_is_read(tmp_path: Path) -> None:
    """Its own rotation included."""
    log = Log(tmp_path)
    written = events.Log(str(log.path))
    for number in range(3):
        written.write("x", number=number, fill="y" * (events.ROTATE_BYTES // 2 + 1))
        assert log.read() == [number]
    assert not log.journal.lost
