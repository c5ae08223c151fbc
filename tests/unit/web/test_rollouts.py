"""What the page shows of fleets."""

from __future__ import annotations

from pathlib import Path

from gapless.agent.open_store import open_store
from gapless.cli import configuration
from gapless.cli.fleet import page_rollouts
from gapless.rollout.model import Action, Rollout


def test_rollouts_and_their_history_are_told_and_a_fault_is_one_fleets(
    tmp_path: Path,
) -> None:
    """The other fleet's coordinator is away: that is said in its place."""
    config = tmp_path / "gapless.toml"
    config.write_text(
        "".join(
            f'[release.{app}]\nbase = "{tmp_path}/{app}"\n[rollout.{app}]\nslots = 1\n'
            for app in ("shop", "mail")
        )
    )
    (tmp_path / "shop").mkdir()
    (tmp_path / "mail").write_text("no directory")
    fleets = configuration.fleets(str(config))
    store = open_store(fleets["shop"], print)

    def build(number: int, previous: str) -> Rollout:
        release = f"shop-{20260101000000 + number}"
        return Rollout(app="shop", number=number, release=release, previous=previous)

    for _ in range(2):
        store.begin("shop-20260101000002", build, "")
    store.apply(Action.HOLD, "\x1b[31mheld")
    found = {each["app"]: each for each in page_rollouts.read(fleets)}
    assert (found["shop"]["number"], found["shop"]["state"]) == (2, "held")
    assert found["shop"]["reason"] == "\\x1b[31mheld"
    assert [each["outcome"] for each in found["shop"]["history"]] == ["superseded by 2"]
    assert "trouble" in found["mail"]
