"""From versions that do not know `gapless upgrade`, and back to one that does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gapless
from rig.hosts import control
from rig.hosts.host import Host
from rig.load.engine import Traffic
from rig.load.process import run_load
from rig.programs import versions
from rig.wait import free_port

PACED = Traffic(kind="new", concurrency=1, pause_s=0.02)


@pytest.mark.soak
def test_from_a_version_before_and_on_to_a_later_one(
    host: Host, tmp_path: Path
) -> None:
    """No request is lost, the app's process stays, and the keeper works with each."""
    earlier = versions.make(tmp_path / "earlier", "0.0.1", *versions.WITHOUT_UPGRADE)
    later = versions.make(tmp_path / "later", "9.0.0", *versions.WRITES_MORE)
    own, host.program = host.program, earlier.program
    port = free_port()
    host.start("app", ["node", "app.js"], port=port)
    pids = host.app("app")["pids"]
    with run_load(port, PACED) as load:
        load.wait_for(5)
        for program, version in ((own, gapless.__version__), (later.program, "9.0.0")):
            host.program = program
            done = host.gapless("upgrade")
            assert done.returncode == 0, done.stdout + done.stderr
            assert "keeper of an earlier version stays" in done.stdout
            found: Any = control.ask(host.home, "ping")
            assert found["version"] == version
            assert host.app("app")["pids"] == pids
            load.wait_for(5)
        host.program = own
        host.ok("upgrade")
        host.declare("app", ["node", "app.js"], port=port, release="2")
        host.ok("reload", "app.toml")
        load.wait_for_version("2")
        report = load.stop()
    assert report.lost == 0, str(report)


@pytest.mark.soak
def test_a_broken_version_does_not_end_one_from_before(
    host: Host, tmp_path: Path
) -> None:
    """The command tries its own version before it lets the other one leave."""
    earlier = versions.make(tmp_path / "earlier", "0.0.1", *versions.WITHOUT_UPGRADE)
    broken = versions.make(
        tmp_path / "broken",
        "9.0.0",
        ("supervisor/loop.py", "from gapless.base import", "from gapless.bass import"),
    )
    own, host.program = host.program, earlier.program
    host.start("app", ["python3", "tiny.py"], port=free_port())
    before = control.ask(host.home, "ping")
    host.program = broken.program
    done = host.gapless("upgrade")
    assert done.returncode == 1
    assert "loop.py cannot be imported" in done.stderr
    assert control.ask(host.home, "ping") == before
    host.program = own
