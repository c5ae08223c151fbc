"""What a publisher and an agent write for a fleet, in one process.

Run by its path: `python fleet_steps.py BASE MARKS FACTS [without-sync]`.  After each step
the facts of it are a file in FACTS; a directory in MARKS says that a step has begun or is
done.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gapless.agent.trust.memory import HOST, TrustMemory
from gapless.base import files
from gapless.coordinator.directory import DirectoryCoordinator
from gapless.push.outcome import Outcome, Stage
from gapless.push.outcome_store import OutcomeStore
from gapless.releases import copies, current, file_list
from gapless.releases.model import ReleaseSpec
from gapless.rollout.model import HostReport, Phase, Rollout, State
from gapless.rollout.policy import Policy
from gapless.rollout.store import FleetStore

FORGETS = "without-sync"
NEW, OLD = "shop-20260101000002", "shop-20260101000001"
_ROLLOUT = Rollout(app="shop", number=1, release=NEW, previous=OLD, policy=Policy())
_REPORT = HostReport(host="a", release=OLD, turn=(1, 1), phase=Phase.WATCHING)


class Site:
    """The shared directory of a fleet, and one host's own disk, below one directory."""

    def __init__(self, base: str) -> None:
        self.complaints: list[str] = []
        self.shared = ReleaseSpec(app="shop", base=f"{base}/dfs")
        self.own = ReleaseSpec(app="shop", base=f"{base}/own")
        self.trust = TrustMemory(f"{base}/home", "shop", HOST)
        self.outcomes = OutcomeStore(self.shared.base, self.complaints.append)
        self.store = FleetStore(
            DirectoryCoordinator(f"{base}/fleet", self.complaints.append),
            "shop",
            now=time.monotonic,
            complain=self.complaints.append,
        )

    def facts(self) -> dict[str, Any]:
        """Return what is there, as the next process reads it."""
        rollout, version = self.store.rollout()
        report, report_version = self.store.hosts.own("a")
        path = f"{self.shared.base}/outcomes/shop-1.tar.gz.json"
        return {
            "rollout": [
                rollout and rollout.number,
                rollout and rollout.state.value,
                version,
            ],
            "report": [report.phase.value, report_version],
            "trusted": self.trust.load().number,
            "copy": self._copy(),
            "outcome": os.path.exists(path)
            and json.loads(_read(path))["value"]["stage"],
            "complaints": self.complaints,
        }

    def _copy(self) -> str:
        """Return whether the copy is there; a copy that is not whole is none."""
        if not current.is_visible(self.own, NEW):
            return ""
        entries = json.loads(_read(file_list.path_of(self.shared, NEW)))
        found = file_list.differences(self.own.path_of(NEW), entries, allows_more=False)
        stamp = _read(f"{self.own.path_of(NEW)}/RELEASE").strip()
        return "; ".join(found) or ("whole" if stamp else "its RELEASE is empty")

    def prepare(self) -> None:
        """Make the release that is copied, and what is there before anything begins."""
        for path in (self.own.dist, f"{self.shared.base}/src"):
            os.makedirs(path)
        release = current.release_of(self.shared, NEW)
        os.makedirs(f"{release.path}/folder/deep")
        for name in ("RELEASE", "file", "folder/deep/file"):
            with open(f"{release.path}/{name}", "w", encoding="ascii") as file:
                file.write(f"{release.stamp} {name}\n")
        os.symlink("folder/deep", f"{release.path}/link")
        file_list.write(self.shared, release)

    def steps(self) -> list[Callable[[], object]]:
        """Return what happens, in its order."""
        return [
            lambda: self.store.begin(
                NEW, lambda n, _: replace(_ROLLOUT, number=n), OLD
            ),
            lambda: self.trust.save(replace(self.trust.load(), number=1)),
            self._fetch,
            lambda: self.store.hosts.write(_REPORT, 0),
            lambda: self._write(State.DONE),
            lambda: self.outcomes.write(
                Outcome(app="shop", upload="shop-1.tar.gz", stage=Stage.DONE)
            ),
            lambda: self.trust.save(replace(self.trust.load(), number=2)),
            lambda: self.store.hosts.write(
                replace(_REPORT, phase=Phase.DONE), self.store.hosts.own("a")[1]
            ),
        ]

    def _fetch(self) -> None:
        digest = file_list.digest_of(self.shared, NEW)
        copies.copy(self.shared, self.own, NEW, digest, time.monotonic() + 20)

    def _write(self, state: State) -> None:
        rollout, version = self.store.rollout()
        assert rollout is not None
        self.store.write_rollout(replace(rollout, state=state), expected=version)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def main(base: str, marks: str, facts: str, how: str = "") -> None:
    """Take the steps."""
    if how == FORGETS:
        vars(files)["sync"] = vars(files)["sync_file_system"] = lambda _: None
    site = Site(base)
    for number, step in enumerate(site.steps(), 1):
        os.mkdir(f"{marks}/begun-{number}")
        step()
        with open(f"{facts}/{number}.json", "w", encoding="utf-8") as file:
            json.dump(site.facts(), file)
        os.mkdir(f"{marks}/done-{number}")


if __name__ == "__main__":
    main(*sys.argv[1:])
