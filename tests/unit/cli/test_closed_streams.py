"""A command whose standard streams are closed, as some crons and daemons start one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rig.hosts.host import GAPLESS


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_an_empty_one(tmp_path: Path, closed: str) -> None:
    """It ends as it would with /dev/null, with no traceback."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" list {closed}', GAPLESS],
        capture_output=True,
        text=True,
        env={**os.environ, "GAPLESS_HOME": str(tmp_path / "home")},
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
