"""Directories that others may write: no link is followed, and nobody is made to wait."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.base import files
from gapless.base.outside import files as outside_files
from gapless.base.outside import text


def test_a_link_at_a_foretold_temporary_name_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write the directory does not choose what is written elsewhere."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    target = tmp_path / "outcome"
    (tmp_path / f"outcome.{os.getpid()}.part").symlink_to(victim)
    files.write_atomically(str(target), b"new")
    monkeypatch.setattr(os, "urandom", lambda count: b"\0" * count)
    (tmp_path / f"outcome.{'00' * 8}.{os.getpid()}.part").symlink_to(victim)
    with pytest.raises(FileExistsError):
        files.write_atomically(str(target), b"newer")
    assert victim.read_text() == "kept"
    assert target.read_bytes() == b"new"


def test_a_link_at_the_name_itself_is_replaced(tmp_path: Path) -> None:
    """What it leads to stays what it was."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    target = tmp_path / "outcome"
    target.symlink_to(victim)
    files.write_atomically(str(target), b"new")
    assert victim.read_text() == "kept"
    assert not target.is_symlink()
    assert target.read_bytes() == b"new"


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    """A FIFO without a writer would make its reader wait for ever."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name, found in (
            ("fifo", errno.EINVAL),
            ("link", errno.ELOOP),
            ("loop", errno.ELOOP),
            ("folder", errno.EINVAL),
            ("socket", errno.ENXIO),
        ):
            with pytest.raises(OSError, match=r"\w") as raised:
                outside_files.read(str(tmp_path / name), 100)
            assert raised.value.errno == found, name
    with pytest.raises(OSError, match="not a regular file"):
        outside_files.read("/dev/zero", 100)
    assert outside_files.read(str(tmp_path / "file"), 4) == b"text"


def test_no_more_is_read_than_was_said(tmp_path: Path) -> None:
    """A file may be larger than memory, or grow while it is read."""
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="more than 1000 bytes"):
        outside_files.read(str(tmp_path / "large"), 1000)


@given(st.text())
def test_what_is_shown_is_printable(found: str) -> None:
    """Also what turns the direction of text, and bytes that are not UTF-8."""
    shown = text.printable(found)
    assert shown.isprintable()
    if found.isprintable():
        assert shown == found


def test_what_a_terminal_acts_upon_is_shown() -> None:
    """ESC, the 8-bit CSI, a carriage return, a right-to-left override."""
    assert text.printable("a\x1b[2J\x9b\r\u202e\udc80") == (
        "a\\x1b[2J\\x9b\\r\\u202e\\udc80"
    )
    assert text.printable("a\n\tb", kept="\n\t") == "a\n\tb"
