"""Where a rehearsal takes place, and who enters it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gapless.rehearsal.stage.stage import Stage


def test_only_the_users_of_an_app_enter_a_stage(tmp_path: Path) -> None:
    """And they only if root runs the app, by a name that nobody lists."""
    around = tmp_path / "stage"
    around.mkdir(0o700)
    stage = Stage(str(around))
    assert Path(stage.directory).parent == around
    stage.let_in(["", ""])
    assert stat.S_IMODE(around.stat().st_mode) == 0o700
    stage.let_in(["", "nobody"])
    is_root = os.geteuid() == 0
    assert stat.S_IMODE(around.stat().st_mode) == (0o711 if is_root else 0o700)
    stage.remove()
    assert not around.exists()
