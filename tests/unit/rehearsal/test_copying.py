"""Copies of an app's directories."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gapless.base.errors import MisuseError, NotFoundError
from gapless.rehearsal.stage.copying import Copying


def test_a_copy_has_what_the_program_needs(tmp_path: Path) -> None:
    """Files with their modes, links as links; no history, no sockets, no set-id bits."""
    source = tmp_path / "app"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "run").write_text("#!/bin/sh\n")
    (source / "bin" / "run").chmod(0o4750)
    (source / "app.pid").write_text("1")
    (source / ".git").mkdir()
    (source / "link").symlink_to("bin/run")
    (source / "own").symlink_to(source / "bin")
    (source / "uploads").symlink_to(tmp_path / "shared" / "uploads")
    (source / "outside").symlink_to("/usr/lib")
    os.mkfifo(source / "fifo")
    target = tmp_path / "stage" / "current"
    moved = {str(source): str(target), str(tmp_path / "shared"): "/stage/shared"}

    Copying(moved).copy(str(source), str(target))

    assert (target / "bin" / "run").read_text() == "#!/bin/sh\n"
    assert stat.S_IMODE((target / "bin" / "run").stat().st_mode) == 0o750
    assert os.readlink(target / "link") == "bin/run"
    assert os.readlink(target / "own") == str(target / "bin")
    assert os.readlink(target / "uploads") == "/stage/shared/uploads"
    assert os.readlink(target / "outside") == "/usr/lib"
    assert not {".git", "fifo", "app.pid"} & set(os.listdir(target))


def test_too_much_is_refused(tmp_path: Path) -> None:
    """A rehearsal does not fill the disk: in bytes, in files, in levels."""
    source = tmp_path / "app"
    source.mkdir()
    (source / "large").write_bytes(b"x" * 3000)
    with pytest.raises(MisuseError, match="has more than the"):
        Copying({}, most_bytes=1000).copy(str(source), str(tmp_path / "a"))
    with pytest.raises(MisuseError, match="1 files"):
        Copying({}, most_files=1).copy(str(source), str(tmp_path / "b"))
    with pytest.raises(NotFoundError):
        Copying({}).copy(str(tmp_path / "none"), str(tmp_path / "c"))
