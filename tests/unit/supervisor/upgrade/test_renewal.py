"""The keeper is asked to become another version, and may die meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gapless.supervisor.upgrade.inheritance import Inheritance
from gapless.supervisor.upgrade.renewal import MOST_DEATHS, KeeperRenewal


def test_a_keeper_that_follows_a_dead_one_is_asked_again() -> None:
    """It does not know of the trial that died with the other; at some time that ends."""
    asked: list[str] = []
    reports: list[Any] = []
    keeper: Any = SimpleNamespace(version="1", renew=lambda: asked.append("renew"))
    membership: Any = SimpleNamespace(keeper_pid=100)
    client: Any = SimpleNamespace(send=lambda report, **_: reports.append(report))
    renewal = KeeperRenewal(keeper, membership, Inheritance())
    renewal.begin(7)
    renewal.wait(client)
    assert not renewal.heard({"event": "welcome", "pid": 100})
    assert len(asked) == 1, "the same process, of another version"
    for deaths in range(1, MOST_DEATHS + 1):
        assert not renewal.heard({"event": "welcome", "pid": 100 + deaths})
        assert len(asked) == 1 + deaths
    assert reports == []
    assert not renewal.heard({"event": "welcome", "pid": 200})
    (report,) = reports
    assert report["result"]["keeper"]["stays"] == "4 keepers have died meanwhile"
    assert not renewal.heard({"event": "welcome", "pid": 300})
