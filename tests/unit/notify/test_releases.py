"""What cannot be read keeps nobody from being told of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gapless.base.errors import GaplessError
from gapless.notify import releases
from gapless.notify.memory import Memory
from gapless.notify.releases import Releases
from gapless.push import outcome
from gapless.push.outcome import Outcome, Stage
from gapless.releases.model import ReleaseSpec
from gapless.rollout.model import Rollout, State


class Store:
    """The records of a fleet, or what is wrong with them."""

    def __init__(self) -> None:
        self.found: Rollout | Exception | None = None

    def rollout(self) -> tuple[Rollout | None, int]:
        """Return the rollout, or raise."""
        if isinstance(self.found, Exception):
            raise self.found
        return self.found, 0


class Sources:
    """Two fleets and two inboxes."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stores: dict[Any, Store] = {"first": Store(), "second": Store()}
        monkeypatch.setattr(releases, "open_store", lambda fleet, _: self.stores[fleet])
        self.said: list[str] = []
        self.folders = [directory / name / outcome.FOLDER for name in ("a", "b")]
        specs = [
            ReleaseSpec(app="shop", base=str(each.parent)) for each in self.folders
        ]
        fleets: Any = {app: app for app in self.stores}
        self.releases = Releases(fleets, specs, self.said.append)
        self.memory = Memory()

    def refuse(self, folder: Path, upload: str) -> None:
        """Refuse an upload."""
        folder.mkdir(parents=True, exist_ok=True)
        found = Outcome(upload=upload, app="shop", stage=Stage.REFUSED, at="1")
        (folder / f"{upload}.json").write_bytes(outcome.encode(found))

    def told(self) -> list[str]:
        """Return what one look tells."""
        self.releases.read()
        return [each.identity for each in self.releases.events(self.memory)]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """Return what is read."""
    return Sources(tmp_path, monkeypatch)


def held(app: str) -> Rollout:
    """Return a rollout that is held."""
    return Rollout(app=app, number=1, release="r", state=State.HELD, began_at="0")


def test_a_coordinator_that_does_not_answer_silences_no_other(sources: Sources) -> None:
    """It is complained of once, and what it says later was there before."""
    sources.stores["first"].found = GaplessError("the coordinator does not answer")
    assert sources.told() == []
    sources.stores["second"].found = held("second")
    sources.refuse(sources.folders[1], "1.tar.gz")
    assert sources.told() == [
        "rollout second 1.1 held 0",
        "upload shop 1.tar.gz refused 1",
    ]
    assert sources.said == ["the coordinator does not answer"]
    sources.stores["first"].found = held("first")
    assert sources.told() == []


def test_a_folder_that_cannot_be_read_silences_no_other(sources: Sources) -> None:
    """What it had is not told again when it can."""
    folder, other = sources.folders
    assert sources.told() == []
    sources.refuse(folder, "1.tar.gz")
    assert sources.told() == ["upload shop 1.tar.gz refused 1"]
    away = folder.with_name("away")
    folder.rename(away)
    folder.write_text("no folder")
    sources.refuse(other, "2.tar.gz")
    assert sources.told() == ["upload shop 2.tar.gz refused 1"]
    assert len(sources.said) == 1
    sources.memory.told.clear()
    folder.unlink()
    away.rename(folder)
    assert sources.told() == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_ours_ends_the_thread(sources: Sources) -> None:
    """Who runs it looks whether it lives."""
    sources.stores["first"].found = KeyError("a fault")
    sources.releases.thread.start()
    sources.releases.thread.join(20)
    assert not sources.releases.thread.is_alive()
