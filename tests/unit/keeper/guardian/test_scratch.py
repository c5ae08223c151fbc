"""What a keeper that is killed leaves in the memory that outlives it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gapless.keeper.guardian.scratch import Reading, Scratch, Writing


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    """Return new memory."""
    made = Scratch.make()
    yield made
    os.close(made.descriptor)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return read end, which does not block, and write end."""
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for each in ends:
        os.close(each)


def again(scratch: Scratch, place: Reading) -> Reading:
    """Return the place as the next keeper finds it."""
    return Scratch(scratch.descriptor, {place.number}).reading(place.number)


def test_what_was_read_is_there_until_it_is_taken(
    scratch: Scratch, pipe: tuple[int, int]
) -> None:
    """And the rest of it after that, chunk after chunk."""
    reading, rest = scratch.reading(), b""
    for text in (b"one\ntw", b"o\nthree", b"", b" and more\n", b"x" * 5000):
        os.write(pipe[1], text)
        if text:
            assert reading.read(pipe[0], rest, 1 << 15) == text
        else:
            with pytest.raises(BlockingIOError):
                reading.read(pipe[0], rest, 1 << 15)
        assert again(scratch, reading).left == rest + text
        rest = (rest + text).rpartition(b"\n")[2]
        reading.take(len(rest))
        assert again(scratch, reading).left == rest
    assert again(scratch, reading).serial == reading.serial == 5


def test_a_keeper_that_follows_uses_no_more_memory(
    scratch: Scratch, pipe: tuple[int, int]
) -> None:
    """A place has memory for what is in it, not for all that could be."""
    places = [scratch.reading() for _ in range(20)]
    for place in places:
        os.write(pipe[1], b"short\nsho")
        place.read(pipe[0], b"", 1 << 15)
        place.take(3)
    before = os.fstat(scratch.descriptor).st_blocks
    for place in places:
        os.write(pipe[1], b"rt\n")
        follower = again(scratch, place)
        assert follower.read(pipe[0], follower.left, 1 << 15) == b"rt\n"
        assert again(scratch, follower).left == b"short\n"
        follower.take(0)
    assert os.fstat(scratch.descriptor).st_blocks <= before + 8 * len(places)


def test_what_was_longer_before_is_not_found_again(
    scratch: Scratch, pipe: tuple[int, int]
) -> None:
    """Though one keeper after the other reads to the same places."""
    place, rest = scratch.reading(), b""
    for size in (50_000, 3, 9_000, 1, 40_000, 7, 7):
        os.write(pipe[1], b"x" * size)
        assert len(place.read(pipe[0], rest, 1 << 16)) == size
        rest += b"x" * size
        place = again(scratch, place)
        assert place.left == rest, "as one that died after the read"
        rest = rest[-min(len(rest), 100) :]
        place.take(len(rest))
        place = again(scratch, place)
        assert place.left == rest, "as one that died after the files had it"


def test_a_part_of_a_line_counts_only_for_that_line(scratch: Scratch) -> None:
    """Once the line was taken, nothing of the next one is shown."""
    reading = scratch.reading()
    reading.begin_part(0, 0, 10, (7, 100))
    assert again(scratch, reading).part(0, (7, 100)) == (0, False), (
        "nothing was written"
    )
    assert again(scratch, reading).part(0, (7, 106)) == (0, True), (
        "a part of the head was"
    )
    assert again(scratch, reading).part(0, (7, 115)) == (5, True)
    reading.end_part(0, 5, (7, 115))
    assert again(scratch, reading).part(0, (7, 115)) == (5, True)
    assert again(scratch, reading).part(0, (7, 120)) == (5, False), "another line came"
    assert again(scratch, reading).part(0, (8, 115)) == (5, False), "it was moved"
    reading.begin_part(0, 5, 0, (7, 115))
    assert again(scratch, reading).part(0, (7, 115)) == (5, True)
    assert again(scratch, reading).part(0, (8, 120)) == (5, False)
    reading.take(0, lines=False)
    assert again(scratch, reading).part(0, (7, 115)) == (5, True), "the line goes on"
    reading.take(0)
    assert again(scratch, reading).part(0, (7, 115)) == (0, False)


def found(scratch: Scratch, place: Writing, inode: int, size: int) -> tuple[bytes, int]:
    """Return what the next keeper finds in a place for a file."""
    next_one = Scratch(scratch.descriptor, {place.number}).writing(place.number)
    return next_one.left(inode, size)


def test_a_chunk_is_gone_on_with_where_it_was_interrupted(scratch: Scratch) -> None:
    """The size of the file says how much of it is there, as long as it is that file."""
    writing = scratch.writing()
    assert found(scratch, writing, 7, 100) == (b"", 0)
    writing.prepare(b"0123456789", None)
    assert found(scratch, writing, 7, 100) == (b"0123456789", 0)
    writing.goes_on(0, 7, 100)
    assert found(scratch, writing, 7, 100) == (b"0123456789", 0)
    assert found(scratch, writing, 7, 104) == (b"0123456789", 4)
    assert found(scratch, writing, 7, 990) == (b"0123456789", 10), "others wrote too"
    assert found(scratch, writing, 8, 104) == (b"0123456789", 0), "another file"
    writing.has_gone_on(4)
    assert found(scratch, writing, 8, 0) == (b"0123456789", 4)
    writing.goes_on(4, 8, 0)
    assert found(scratch, writing, 8, 3) == (b"0123456789", 7)
    writing.clear()
    assert found(scratch, writing, 8, 6) == (b"", 0)


def test_a_chunk_is_its_streams_until_that_says_it_is_taken(scratch: Scratch) -> None:
    """Else both would write it."""
    reading, writing = scratch.reading(), scratch.writing()
    writing.prepare(b"line\n", reading)
    owner = writing.owner()
    assert owner is not None
    assert owner[0] == reading.number
    assert owner[1] != again(scratch, reading).serial
    reading.take(0)
    assert owner[1] == again(scratch, reading).serial
    writing.take()
    assert writing.owner() is None


def test_places_that_are_given_back_are_used_again(scratch: Scratch) -> None:
    """And are empty then; their memory goes back to the machine."""
    first, second = scratch.reading(), scratch.writing()
    second.prepare(b"x" * 200_000, None)
    blocks = os.fstat(scratch.descriptor).st_blocks
    second.close()
    assert os.fstat(scratch.descriptor).st_blocks < blocks - 300
    third = scratch.writing()
    assert (first.number, third.number) == (1, 2)
    assert third.left(0, 0) == (b"", 0)


def test_a_call_that_is_being_received_is_there(scratch: Scratch) -> None:
    """Which instance made it, and all that the kernel says of it."""
    assert scratch.received() is None
    buffer = scratch.begin_to_receive("app/1/0/1")
    assert scratch.received() is None
    buffer[:8] = (77).to_bytes(8, "little")
    key, call = Scratch(scratch.descriptor).received() or ("", b"")
    assert (key, int.from_bytes(call[:8], "little")) == ("app/1/0/1", 77)
    scratch.end_receiving()
    assert scratch.received() is None
