"""What an earlier supervisor was writing is removed, and nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gapless.base import files
from gapless.base.names import Home
from gapless.supervisor.memory.leftovers import remove_leftovers


def test_half_written_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that `write_atomically` leaves when it dies, and those of older versions."""
    home, stays = Home(str(tmp_path)), tmp_path / "mine.json.12.part"
    reports = Path(home.reports) / "app"
    reports.mkdir(parents=True)
    stays.touch()
    (tmp_path / "state.json.4711.part").touch()
    (tmp_path / "supervisor.sock.4711").touch()
    (reports / "stop-1.json").touch()

    def dies(*_: object) -> None:
        raise OSError(errno.EIO, "it dies")

    monkeypatch.setattr(os, "replace", dies)
    monkeypatch.setattr(os, "unlink", dies)
    for path in (tmp_path / "state.json", reports / "stop-2.json"):
        with pytest.raises(OSError, match="it dies"):
            files.write_atomically(str(path), b"{}", durable=False)
    monkeypatch.undo()
    remove_leftovers(home)
    assert sorted(os.listdir(tmp_path)) == ["mine.json.12.part", "reports"]
    assert os.listdir(reports) == ["stop-1.json"]
