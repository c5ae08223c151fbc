"""Releases of unmodified web servers whose clients never pause: each request runs once."""

from __future__ import annotations

import pytest

from rig.hosts.host import Host
from rig.load.process import run_load
from rig.load.unresting import UNRESTING
from rig.programs.numbered import PROGRAMS, Numbered

TAKEOVER = """
preload = false
min_healthy_s = 0.5
stop = { drain_timeout_s = 20, kill_timeout_s = 2 }
"""
"""What the app's configuration says."""


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_a_release_each_request_runs_once(host: Host, program: str) -> None:
    """The load, the program and its log are right, so what the next tests find is too."""
    app = Numbered(host, program, TAKEOVER)
    app.start()
    with run_load(app.port, *UNRESTING, ledger=app.ledger) as under_load:
        under_load.wait_for(200)
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert not app.difference(UNRESTING)
