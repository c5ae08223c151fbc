"""Releases of unmodified web servers whose clients never pause: each request runs once."""

from __future__ import annotations

import time

import pytest

from rig.fixtures import takeover
from rig.hosts.host import Host
from rig.load.process import run_load
from rig.load.unresting import UNRESTING
from rig.matrix import matrix, times
from rig.programs.numbered import PROGRAMS, Numbered

EARLY = "nginx-early"
"""It answers before it has read the body: what comes then is no request (LIMITS)."""


@pytest.mark.parametrize("program", matrix(PROGRAMS, "threads", EARLY))
def test_without_a_release_each_request_runs_once(host: Host, program: str) -> None:
    """The load, the program and its log are right, so what the next test finds is too."""
    app = Numbered(host, program, takeover.CONFIGURATION)
    app.start()
    with run_load(app.port, *UNRESTING, ledger=app.ledger) as under_load:
        under_load.wait_for(200)
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert not app.difference(UNRESTING)


@pytest.mark.parametrize("count", times(3, 20))
@pytest.mark.parametrize("program", [name for name in PROGRAMS if name != EARLY])
def test_a_release_loses_no_request_of_a_client_that_never_pauses(
    host: Host, program: str, count: int
) -> None:
    """None is lost or runs twice, and no old generation is ended by its time limit."""
    app = Numbered(host, program, takeover.CONFIGURATION)
    app.start()
    outcome = takeover.release_under_load(app, count)
    takeover.assert_nothing_was_lost(app, outcome)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("program", ["uvicorn", "node", "threads", "go"])
def test_releases_for_ten_minutes(host: Host, program: str) -> None:
    """One after the other, under the same clients: each request runs once."""
    app = Numbered(host, program, takeover.CONFIGURATION)
    app.start()
    until, number = time.monotonic() + 600, 1
    with run_load(app.port, *UNRESTING, seconds=900, ledger=app.ledger) as under_load:
        while time.monotonic() < until:
            number += 1
            app.release(number)
            under_load.wait_for_version(str(number))
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert not app.difference(UNRESTING)
    assert number > 40, "releases that take longer than 15 s each"
