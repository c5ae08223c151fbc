"""The beginning of a line is shown before its end has arrived, and no byte is lost."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.keeper.guardian.scratch import Reading, Scratch
from gapless.keeper.logs.log_file import LogFile
from gapless.keeper.logs.rendering import Rendering
from gapless.keeper.logs.stream import LONGEST_LINE_BYTES, Stream

NOW = 1_700_000_000.0


class Program:
    """What prints to log files by way of a pipe."""

    def __init__(
        self, *files: LogFile, reading: Reading | None = None, **how: Any
    ) -> None:
        read_end, self.write_end = os.pipe()
        os.set_blocking(read_end, False)
        named = {"app": "shop", "generation": 1, "ordinal": 0, "stream": "out"}
        self._rendering = Rendering(**{**named, "format": "plain", **how})
        self.stream = Stream(read_end, files, self._rendering, reading)

    def outlives_its_keeper(self, scratch: Scratch, *files: LogFile) -> None:
        """Have what the next keeper finds in the memory."""
        assert self.stream.reading is not None
        place = self.stream.reading.number
        reading = Scratch(scratch.descriptor, {place}).reading(place)
        self.stream = Stream(self.stream.read_fd, files, self._rendering, reading)
        self.stream.resume()

    def print(self, text: str, *, shown: bool = True) -> None:
        """Print text; then the keeper moves it, and shows what has no end."""
        os.write(self.write_end, text.encode())
        self.stream.transfer(NOW)
        if shown:
            self.stream.show_part(NOW)

    def end(self) -> None:
        """Close both ends, as at the end of a program."""
        os.close(self.write_end)
        self.stream.finish(NOW)
        self.stream.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LogFile]:
    """Return a log file that is never moved aside."""
    made = LogFile(str(tmp_path / "app.log"), rotate_bytes=0, rotate_s=0.0, keep=3)
    yield made
    made.close()


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    """Return memory that outlives a keeper."""
    made = Scratch.make()
    yield made
    os.close(made.descriptor)


def again(file: LogFile) -> LogFile:
    """Return the file as the next keeper opens it."""
    file.close()
    return LogFile(file.path, rotate_bytes=0, rotate_s=0.0, keep=3)


def read(file: LogFile) -> str:
    """Return what is in the file."""
    return Path(file.path).read_text()


def test_a_prompt_and_progress_dots_are_shown(file: LogFile) -> None:
    """Each as far as it is there, and then as one line."""
    program = Program(file)
    program.print("one\nname? ")
    assert read(file) == "one\nname? "
    program.print("anna\n.")
    program.print(".")
    assert read(file) == "one\nname? anna\n.."
    assert not program.stream.has_part
    program.end()
    assert read(file) == "one\nname? anna\n..\n"


def test_a_line_has_one_time(file: LogFile) -> None:
    """That of its beginning, and nothing stands between its parts."""
    program = Program(file, date_format="%Y")
    program.print("loading")
    assert read(file) == "2023: loading"
    program.print("...")
    program.print(" done\nnext\n")
    assert read(file) == "2023: loading... done\n2023: next\n"
    program.end()
    assert read(file).endswith("next\n")


def test_objects_stay_whole(file: LogFile) -> None:
    """A line of JSON is written when its end has arrived."""
    program = Program(file, format="json")
    program.print("half ")
    assert not Path(file.path).exists()
    program.print("a line\n")
    assert json.loads(read(file))["message"] == "half a line"
    program.end()


def test_another_line_ends_a_part(file: LogFile) -> None:
    """The rest is a line of its own, with its time; a line that is over adds nothing."""
    one, two = Program(file, date_format="%Y"), Program(file)
    one.print("a")
    two.print("b\n")
    one.print("c")
    two.print("d")
    one.print("\ne\n")
    two.print("\n")
    one.end()
    two.end()
    assert read(file) == "2023: a\nb\n2023: c\nd\n2023: e\n"


def test_moved_removed_and_emptied_files(file: LogFile, tmp_path: Path) -> None:
    """By logrotate, with a rename or copytruncate, or by a user: it goes on there."""
    program = Program(file, date_format="%Y")
    program.print("a")
    moved = tmp_path / "app.log.1"
    Path(file.path).rename(moved)
    program.print("b")
    assert (moved.read_text(), read(file)) == ("2023: a", "2023: b")
    os.truncate(file.path, 0)
    program.print("c\n")
    assert read(file) == "2023: c\n"
    Path(file.path).unlink()
    program.print("d\n")
    assert read(file) == "2023: d\n"
    program.end()


def test_a_part_is_counted_when_files_are_moved_aside(tmp_path: Path) -> None:
    """A program that only prompts fills no disk; a line is not torn apart."""
    file = LogFile(str(tmp_path / "app.log"), rotate_bytes=20, rotate_s=0.0, keep=2)
    program = Program(file)
    for number in range(9):
        program.print(f"question {number}? ")
        program.print("yes\n")
    assert len(list(tmp_path.iterdir())) == 3
    for path in tmp_path.iterdir():
        assert re.fullmatch(r"question \d\? yes\n", path.read_text())
    program.end()
    file.close()


def test_a_disk_that_takes_nothing_shows_nothing_and_loses_nothing(
    file: LogFile, tmp_path: Path
) -> None:
    """What was not shown comes with the end of its line."""
    program = Program(file)
    directory = tmp_path / "app.log"
    directory.mkdir()  # nothing can be written to it
    program.print("a")
    assert program.stream.has_part
    directory.rmdir()
    program.print("b\n")
    assert read(file) == "ab\n"
    program.end()


@pytest.mark.parametrize("shown", [True, False])
def test_a_part_is_written_once_though_its_keeper_dies(
    file: LogFile, scratch: Scratch, *, shown: bool
) -> None:
    """Also if more of the line has come since, which was not shown yet."""
    program = Program(file, reading=scratch.reading(), date_format="%Y")
    program.print("one\nname? ")
    program.print("an", shown=shown)
    file = again(file)
    program.outlives_its_keeper(scratch, file)
    program.print("na\ntwo\n")
    assert read(file) == "2023: one\n2023: name? anna\n2023: two\n"
    program.end()
    file.close()


def test_a_part_of_each_of_two_streams_is_written_once(
    file: LogFile, scratch: Scratch
) -> None:
    """The next keeper knows what was shown of both before it goes on with one."""
    programs = [Program(file, reading=scratch.reading()) for _ in range(2)]
    programs[0].print("first", shown=False)
    programs[1].print("second")
    os.write(programs[0].write_end, b" line\n")
    file = again(file)
    for each in programs:
        each.outlives_its_keeper(scratch, file)
    for each in programs:
        each.stream.transfer(NOW)
    programs[1].print(" line\n")
    assert read(file) == "second\nfirst line\n line\n"
    for each in programs:
        each.end()
    file.close()


def test_a_part_in_a_file_that_was_moved_is_not_gone_on_with(
    file: LogFile, scratch: Scratch, tmp_path: Path
) -> None:
    """Another file of that size has its name."""
    program = Program(file, reading=scratch.reading())
    program.print("part")
    Path(file.path).rename(tmp_path / "moved.log")
    Path(file.path).write_text("abc\n")
    file = again(file)
    program.outlives_its_keeper(scratch, file)
    program.print(" of a line\n")
    assert read(file) == "abc\n of a line\n"
    program.end()
    file.close()


@pytest.mark.parametrize("seed", range(20))
def test_each_byte_is_written_once(tmp_path: Path, seed: int, scratch: Scratch) -> None:
    """Whatever comes in which pieces, to one file of two programs and one of both.

    Now and then a keeper dies, and the next one goes on.
    """
    draw = random.Random(seed)
    own, both = (
        LogFile(str(tmp_path / name), rotate_bytes=0, rotate_s=0.0, keep=1)
        for name in ("own.log", "both.log")
    )
    first = Program(own, both, reading=scratch.reading())
    second = Program(both, reading=scratch.reading())
    printed = {"a": "", "B": ""}
    long = draw.random() < 0.2
    for _ in range(40):
        letter, program = draw.choice([("a", first), ("B", second)])
        most = LONGEST_LINE_BYTES // 3 if long else 5
        text = "".join(
            draw.choice([letter * draw.randint(0, most), letter + "\n"])
            for _ in range(2)
        )
        program.print(text, shown=draw.random() < 0.7)
        if draw.random() < 0.2:
            own, both = again(own), again(both)
            first.outlives_its_keeper(scratch, own, both)
            second.outlives_its_keeper(scratch, both)
        printed[letter] += text
    for program in (first, second):
        program.end()
    found = read(both)
    assert found.endswith("\n")
    for letter, text in printed.items():
        assert found.count(letter) == text.count(letter)
    assert read(own).count("a") == printed["a"].count("a")
    if not long:
        whole = printed["a"] if printed["a"].endswith("\n") else printed["a"] + "\n"
        assert read(own) == (whole if printed["a"] else "")
    own.close()
    both.close()
