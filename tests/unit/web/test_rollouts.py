"""What the page shows of fleets."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gapless.agent.open_store import open_store
from gapless.cli import configuration
from gapless.cli.fleet import page_rollouts
from gapless.rollout.model import Action, Rollout
from gapless.web.rollout_look import RolloutLook
from rig import wait


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
    assert found["shop"]["may"] == ["resume"]


@pytest.mark.parametrize(
    ("state", "phase", "previous", "expected"),
    [
        (None, "idle", "", []),
        ("rolling", "done", "1", ["hold", "abort"]),
        ("rolling", "failed", "", ["hold"]),
        ("held", "done", "", ["resume"]),
        ("reverting", "done", "1", ["hold"]),
        ("stuck", "failed", "1", ["resume"]),
        ("done", "done", "1", ["rollback"]),
        ("done", "failed", "1", ["resume", "rollback"]),
        ("done", "done", "", []),
        ("reverted", "done", "1", []),
    ],
)
def test_a_rollout_has_the_buttons_that_mean_something(
    state: str | None, phase: str, previous: str, expected: list[str]
) -> None:
    """What its state does not allow is not offered."""
    status = {"state": state, "previous": previous, "hosts": [{"phase": phase}]}
    assert page_rollouts.may(status) == expected


def test_browsers_share_one_reading_which_delays_nothing_else() -> None:
    """A coordinator that does not answer takes no thread from what the page looks at."""
    begun: list[int] = []
    answers = threading.Event()

    def read() -> list[dict[str, Any]]:
        begun.append(len(begun))
        answers.wait(20)
        return [{"app": "shop", "number": len(begun)}]

    async def ask(kept_s: float) -> list[Any]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        look = RolloutLook(read, kept_s)
        asks = [asyncio.create_task(look.found()) for _ in range(20)]
        # The one thread of the executor is free:
        await asyncio.to_thread(wait.until, lambda: begun, "the reading")
        asks.pop().cancel()
        assert begun == [0]
        answers.set()
        found = await asyncio.gather(*asks)
        return [*found, await look.found()]

    assert {each[0]["number"] for each in asyncio.run(ask(kept_s=60.0))} == {1}
    begun.clear()
    answers.clear()
    assert asyncio.run(ask(kept_s=0.0))[-1] == [{"app": "shop", "number": 2}]


def test_a_reading_that_fails_is_begun_again() -> None:
    """The browser that asked is told; the next one gets what is found then."""
    answers: list[Any] = [OSError("no such file"), [{"app": "shop"}]]

    def read() -> list[dict[str, Any]]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        found: list[dict[str, Any]] = answer
        return found

    async def ask() -> None:
        look = RolloutLook(read, kept_s=0.0)
        with pytest.raises(OSError, match="no such file"):
            await look.found()
        assert await look.found() == [{"app": "shop"}]

    asyncio.run(ask())
