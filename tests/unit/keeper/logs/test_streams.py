"""The streams of a keeper that died are gone on with, sooner or later."""

from __future__ import annotations

import errno
import os
import selectors
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.base import wire
from gapless.keeper.guardian.reserve import Reserve
from gapless.keeper.guardian.scratch import Scratch
from gapless.keeper.logs import streams
from gapless.keeper.logs.settings import LogSettings
from gapless.keeper.logs.stream import Stream, make_pipe, pipe_bytes

KEY = "shop/1/0/1"


class Keeper:
    """The streams of one keeper after the other, and what a supervisor is told."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "shop.log"
        self.reserve, self.scratch = Reserve(), Scratch.make()
        self.told: list[wire.Message] = []
        self.streams = self._begin(self.scratch)
        self.read_end, self.write_end = make_pipe()
        os.set_blocking(self.write_end, False)
        self.settings = LogSettings(
            app="shop",
            generation=1,
            ordinal=0,
            output=str(self.log),
            error=str(self.log),
            format="plain",
        )
        self.own = self.streams.open(KEY, self.settings, {"output": self.read_end})

    def _begin(self, scratch: Scratch) -> streams.Streams:
        selector = selectors.DefaultSelector()
        return streams.Streams(selector, self.told.append, self.reserve, scratch)

    def dies(self) -> None:
        """Let the next one begin."""
        places = {s.reading.number for s in self.own if s.reading is not None}
        self.streams = self._begin(Scratch(self.scratch.descriptor, places))
        self.own = self.streams.recover()[KEY]

    def retry(self) -> None:
        """Let a second pass."""
        self.streams._retry_at = 0.0
        self.streams.retry()

    def troubles(self) -> list[tuple[str, int]]:
        """Return each reason that was told, and how many lines were lost by then."""
        return [(each["reason"], each["lines_lost"]) for each in self.told]


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    """Return a keeper with the output of one program."""
    made = Keeper(tmp_path)
    yield made
    os.close(made.write_end)
    made.streams.finish(made.own)
    os.close(made.scratch.descriptor)


def _lacks(*_: Any) -> None:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def begin(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next keeper begin without the memory for what it reads."""
    monkeypatch.setattr(Scratch, "reading", _lacks)
    keeper.dies()
    keeper.retry()
    assert keeper.own == []


def test_a_stream_that_cannot_be_recovered_is_tried_again(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pipe stays open, its program does not wait, and it is said."""
    os.write(keeper.write_end, b"one\nha")
    keeper.streams.transfer(keeper.own)
    begin(keeper, monkeypatch)
    reason = f"its pipe cannot be read: {os.strerror(errno.ENOMEM)}"
    assert keeper.troubles() == [(reason, 0)]
    os.write(keeper.write_end, b"lf\n")
    monkeypatch.undo()
    keeper.retry()
    assert keeper.log.read_text() == "one\nhalf\n"
    assert keeper.troubles()[1:] == [("", 0)]
    assert [type(each) for each in keeper.own] == [Stream]


def test_a_program_whose_stream_cannot_be_recovered_does_not_wait(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it prints is lost, and counted, once its pipe is half full."""
    begin(keeper, monkeypatch)
    line = b"x" * 1023 + b"\n"
    count = pipe_bytes(keeper.read_end) // len(line)
    for _ in range(count):
        os.write(keeper.write_end, line)
    keeper.retry()
    assert keeper.troubles()[-1][1] == count
    os.write(keeper.write_end, line)
    monkeypatch.undo()
    keeper.retry()
    assert keeper.log.read_bytes() == line


def test_a_stream_is_let_go_of_with_its_program(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was never recovered."""
    begin(keeper, monkeypatch)
    os.write(keeper.write_end, b"one\n")
    keeper.streams.finish(keeper.own)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(keeper.read_end)
    keeper.retry()
    assert keeper.reserve.named(streams.STREAM) == {}


def test_a_trouble_is_over_when_its_program_has_ended(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, with the lines that were lost, and once."""
    begin(keeper, monkeypatch)
    os.write(keeper.write_end, b"one\n")
    keeper.streams.finish(keeper.own)
    assert keeper.streams.wait_s() is not None
    for _ in range(2):
        keeper.retry()
    assert keeper.troubles()[1:] == [("", 1)]
    assert keeper.streams.wait_s() is None


def test_what_was_lost_with_a_program_that_ends_at_once_is_said(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if nobody was told before that its stream could not be recovered."""
    monkeypatch.setattr(Scratch, "reading", _lacks)
    keeper.dies()
    os.write(keeper.write_end, b"one\n")
    keeper.streams.finish(keeper.own)
    keeper.retry()
    assert keeper.troubles() == [("", 1)]


def test_a_trouble_is_over_when_the_next_keeper_has_none(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor was told of it by the one before."""
    begin(keeper, monkeypatch)
    monkeypatch.undo()
    keeper.dies()
    keeper.retry()
    assert keeper.troubles()[1:] == [("", 0)]


@pytest.mark.parametrize("ends", [True, False])
def test_places_of_files_that_nobody_uses_are_dropped_when_all_streams_are_there(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """Until then one of them may be of a stream that is tried again."""
    unused, own = "/nowhere/gone.log", str(keeper.log)
    keeper.reserve.put(f"{streams.FILE}{unused}", b'{"place": 900}')
    begin(keeper, monkeypatch)
    assert set(keeper.reserve.named(streams.FILE)) == {own, unused}
    monkeypatch.undo()
    if ends:
        keeper.streams.finish(keeper.own)
    keeper.retry()
    assert set(keeper.reserve.named(streams.FILE)) == (set() if ends else {own})
