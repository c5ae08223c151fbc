"""The table of hosts: one that is gone is not at work."""

from __future__ import annotations

import dataclasses

import pytest

from gapless.base import clock
from gapless.cli.display import rollouts
from gapless.rollout.model import HostReport, Phase


def _report(host: str, ago_s: float, phase: Phase = Phase.CHANGING) -> HostReport:
    return HostReport(host=host, phase=phase, at=clock.stamp(clock.wall() - ago_s))


def test_a_host_that_is_gone_is_not_shown_as_changing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its last report is older than `gone_s`; one that said that it stops is no riddle."""
    reports = {
        "a": _report("a", 5),
        "b": _report("b", 600),
        "c": _report("c", 600, Phase.STOPPED),
        "d": HostReport(host="d", phase=Phase.CHANGING, at="long ago"),
        "e": dataclasses.replace(_report("e", 600), gone_s=900.0),
    }
    rollouts.print_hosts(reports, 90.0)
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "gone for 10m (was changing)" in lines["b"]
    for name in "acde":
        assert "gone" not in lines[name]
    assert rollouts.host_json(reports["b"])["silent_s"] == pytest.approx(600, abs=5)
    assert rollouts.host_json(reports["d"])["silent_s"] is None
