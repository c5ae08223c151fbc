"""Files that were being written when their writer died."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from gapless.base import files


def test_only_parts_of_dead_writers_are_removed(tmp_path: Path) -> None:
    """What lives goes on writing, and other names are no parts."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead = [tmp_path / f"a.json{each}.{ended.pid}.part" for each in ("", ".0a1b")]
    kept = [
        tmp_path / f"a.json.0a1b.{os.getpid()}.part",
        tmp_path / f"a.json.{os.getpid()}.part",
        tmp_path / "a.json",
        tmp_path / "upload.part",
    ]
    for path in (*dead, *kept):
        path.touch()
    files.remove_parts(str(tmp_path))
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    files.remove_parts(str(tmp_path / "none"))
