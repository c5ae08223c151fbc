"""When changed files renew an app, and when that stops."""

from __future__ import annotations

import json
import selectors
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gapless.base import clock, events
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.renewal import renewal_loop
from gapless.supervisor.renewal.watched_files import WatchedFiles


class Watched:
    """An app whose files are watched, and the renewals that were asked for."""

    def __init__(self, directory: Path, log: Path) -> None:
        self.directory, self.log = directory, log
        renew = spec.Renew(watch=(str(directory),), watch_delay_s=0.0)
        self.app = AppRecord(
            name="web",
            spec=spec.AppSpec(
                name="web", command=("x",), directory=str(directory), renew=renew
            ),
            last_generation=1,
        )
        membership: Any = SimpleNamespace(members=lambda _: {})
        self.selector = selectors.DefaultSelector()
        self.files = WatchedFiles(
            self.selector,
            lambda: None,
            membership,
            log=events.Log(str(log)),
            home=str(directory / "home"),
        )
        self.reasons: list[str] = []
        self.admits = True
        self.update()

    def update(self, *, is_idle: bool = True) -> float | None:
        """Take in what happened, and act on it."""
        for key, _ in self.selector.select(0.0):
            key.data()
        return self.files.update(
            self.app, clock.monotonic(), self._renew, is_idle=is_idle
        )

    def _renew(self, reason: str) -> bool:
        if self.admits:
            self.reasons.append(reason)
            self.app.last_generation += 1
        return self.admits

    def renewals_of_change(self, name: str) -> int:
        """Change a file while the last renewal is under way; count what follows."""
        before = len(self.reasons)
        (self.directory / name).write_text("1")
        self.update(is_idle=False)
        self.update()
        return len(self.reasons) - before


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Return an app in a directory; none of its processes is known."""
    directory = tmp_path / "app"
    directory.mkdir()
    found = Watched(directory, tmp_path / "log")
    yield found
    found.files.close()
    found.selector.close()


def test_the_reason_is_named(watched: Watched) -> None:
    """All that changed together is one renewal."""
    for name in ("a", "b", "c", "d"):
        (watched.directory / name).write_text("1")
    watched.update()
    where = watched.directory
    assert watched.reasons == [f"{where}/a, {where}/b, {where}/c and 1 more changed"]


def test_a_loop_rests_then_stops_until_somebody_reloads(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so, with the files."""
    assert watched.renewals_of_change("a") == 1
    assert watched.renewals_of_change("a") == 1
    assert watched.renewals_of_change("b") == 0
    assert watched.app.warning.startswith("rests 20 s before it is renewed again")
    monkeypatch.setattr(renewal_loop, "REST_S", 0.0)
    watched.files._not_before = 0.0
    watched.update()
    assert watched.reasons[2] == f"{watched.directory}/b changed"
    assert watched.app.warning == ""
    assert watched.renewals_of_change("c") == 0
    assert watched.app.warning.startswith("is watched no more")
    assert f"{watched.directory}/a, {watched.directory}/b" in watched.app.warning
    logged = [json.loads(line) for line in watched.log.read_text().splitlines()]
    assert [each["event"] for each in logged] == ["watch-stopped"]
    assert watched.renewals_of_change("c") == 0
    watched.app.last_generation += 1  # somebody reloads it
    watched.update()
    assert watched.app.warning == ""
    assert watched.renewals_of_change("c") == 1


def test_what_was_not_admitted_is_tried_again(watched: Watched) -> None:
    """As when the host drains."""
    watched.admits = False
    (watched.directory / "a").write_text("1")
    again_at = watched.update()
    assert again_at is not None
    assert again_at > clock.monotonic() + 50
    watched.admits = True
    watched.files._not_before = 0.0
    watched.update()
    assert watched.reasons == [f"{watched.directory}/a changed"]


def test_a_warning_of_somebody_else_stays(watched: Watched) -> None:
    """A renewal takes back what was said of files only."""
    watched.app.warning = "keep-alive connections are not closed in good order"
    watched.renewals_of_change("a")
    assert watched.app.warning.startswith("keep-alive")


def test_a_limit_of_the_kernel_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is left open."""
    monkeypatch.setattr(
        "gapless.supervisor.renewal.file_watch.MOST_DIRECTORIES", 0, raising=True
    )
    watched = Watched(tmp_path, tmp_path.parent / "log")
    assert watched.app.warning.startswith("is not watched: more than 0 directories")
    watched.files.close()
    watched.selector.close()
