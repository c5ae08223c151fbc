"""`logs -f`: a log file is followed while others rotate, empty or remove it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.cli.followed_log import FollowedLog


class Followed:
    """A log that is followed, and what was printed."""

    def __init__(self, path: Path) -> None:
        self.path, self._out = path, io.BytesIO()
        path.write_bytes(b"first\n")
        self._log = FollowedLog(str(path), self._out)
        self._log.print_last(10)

    def append(self, text: bytes) -> None:
        """Append as the keeper does."""
        with self.path.open("ab") as file:
            file.write(text)

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    def printed(self) -> bytes:
        """Return all that was printed, once nothing more comes."""
        while self._log.print_new():
            pass
        return self._out.getvalue()


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    """Return a followed log of one line."""
    log = Followed(tmp_path / "app.log")
    yield log
    log.close()


def test_lines_after_flush_are_printed(followed: Followed) -> None:
    """The file was emptied (`flush`): the next line is its first."""
    followed.append(b"second\n")
    assert followed.printed() == b"first\nsecond\n"
    os.truncate(followed.path, 0)
    assert followed.printed() == b"first\nsecond\n"
    followed.append(b"3\n")
    assert followed.printed() == b"first\nsecond\n3\n"


def test_lines_are_printed_that_came_at_once_after_flush(followed: Followed) -> None:
    """The file was emptied and written to between two looks."""
    os.truncate(followed.path, 0)
    followed.append(b"2\n")
    assert followed.printed() == b"first\n2\n"


def test_an_emptied_file_may_be_longer_at_the_next_look(followed: Followed) -> None:
    """What is in it then is new, though it is longer than what was printed."""
    os.truncate(followed.path, 0)
    followed.append(b"much longer than the first\n")
    assert followed.printed() == b"first\nmuch longer than the first\n"


def test_a_moved_file_is_printed_to_its_end(followed: Followed) -> None:
    """Then comes the one in its place."""
    followed.append(b"2\n")
    followed.path.rename(f"{followed.path}.1")
    followed.append(b"3\n")
    assert followed.printed() == b"first\n2\n3\n"


def test_a_removed_file_is_followed_by_the_next(followed: Followed) -> None:
    """The keeper opens another one by that name."""
    followed.path.unlink()
    assert followed.printed() == b"first\n"
    followed.append(b"2\n")
    assert followed.printed() == b"first\n2\n"


def test_a_file_that_came_by_another_name_is_printed(followed: Followed) -> None:
    """A rename over the log (an editor, a restore) is another file."""
    other = followed.path.with_suffix(".new")
    other.write_bytes(b"other\n")
    other.rename(followed.path)
    assert followed.printed() == b"first\nother\n"
