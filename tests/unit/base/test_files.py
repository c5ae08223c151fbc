"""Files and directories that gapless makes."""

from __future__ import annotations

import os

import pytest

from gapless.base import files


def test_a_file_system_that_takes_no_directory_says_so_at_once() -> None:
    """/proc answers "no such file" although the directory above is there."""
    with pytest.raises(FileNotFoundError):
        files.make_directories("/proc/gapless/home", files.PRIVATE_DIRECTORY)


def test_missing_directories_are_made_with_their_mode(
    tmp_path: os.PathLike[str],
) -> None:
    """All of them, whatever the umask is."""
    path = os.path.join(tmp_path, "a/b/c")
    files.make_directories(path, files.PRIVATE_DIRECTORY)
    files.make_directories(path, files.PRIVATE_DIRECTORY)
    modes = {
        os.stat(os.path.join(tmp_path, each)).st_mode & 0o777 for each in ("a", "a/b")
    }
    assert modes == {files.PRIVATE_DIRECTORY}
