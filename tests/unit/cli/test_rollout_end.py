"""What a command prints when a rollout has ended."""

from __future__ import annotations

import pytest

from gapless.base.errors import DONE
from gapless.cli.display import rollouts
from gapless.rollout.model import HostReport, Phase, Rollout, State

RELEASE, BEFORE = "shop-20260101000002", "shop-20260101000001"


def test_a_host_that_was_left_behind_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its failure is allowed by the policy: the code is 0, and the line says what to do."""
    rollout = Rollout(
        app="shop", number=2, release=RELEASE, state=State.DONE, reason="1 of 2 hosts"
    )
    reports = {
        "a": HostReport(host="a", release=RELEASE, turn=(2, 1), phase=Phase.DONE),
        "b": HostReport(host="b", release=BEFORE, turn=(2, 1), phase=Phase.FAILED),
    }
    rollouts.print_end(rollout, as_json=False, reports=reports)
    assert capsys.readouterr().out.splitlines() == [
        f"shop: rollout 2 to {RELEASE} done: 1 of 2 hosts",
        f"  failed on b ({BEFORE} runs); `gapless rollout resume shop` tries again there",
    ]
    assert rollouts.exit_code(rollout) == DONE
