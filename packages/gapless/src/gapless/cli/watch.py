"""Publish what is uploaded to the inboxes of all apps of a configuration.

Runs in the foreground, for systemd or as an app under gapless; --once is for cron.
"""

from __future__ import annotations

import argparse
import time

from gapless.agent.publishing import FleetPublisher
from gapless.base.errors import GaplessError
from gapless.cli import fleet, progress, show, source
from gapless.client import Client
from gapless.deploy import Deployment
from gapless.releases import inbox, publish
from gapless.releases.model import ReleaseSpec

POLL_S = 0.5
"""Remote writes on NFS raise no event here, so the inbox is looked at."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `watch` understands."""
    parser.add_argument(
        "--once", action="store_true", help="publish what is complete now, then end"
    )
    source.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Watch the inboxes."""
    specs = source.load(asked.config)
    fleets = source.fleets(asked.config)
    publishers = {
        name: fleet.publisher(each, quiet=asked.json) for name, each in fleets.items()
    }
    watcher = Watcher(specs, publishers, as_json=asked.json)
    if not asked.json:
        inboxes = ", ".join(sorted({spec.inbox for spec in specs.values()}))
        print(f"watching {inboxes} for {', '.join(specs)}", flush=True)
    watcher.look()
    while True:
        time.sleep(POLL_S)
        watcher.look()
        if asked.once:
            return watcher.code


class Watcher:
    """Looks at inboxes again and again."""

    def __init__(
        self,
        specs: dict[str, ReleaseSpec],
        publishers: dict[str, FleetPublisher],
        *,
        as_json: bool,
    ) -> None:
        self._specs, self._as_json = specs, as_json
        self._publishers = publishers
        self._trouble: dict[str, str] = {}
        self._looks: dict[str, tuple[inbox.Look | None, ...]] = {}
        self._judged: dict[str, tuple[tuple[inbox.Look | None, ...], str]] = {}
        """Why an upload was not complete, and how it looked then."""
        self._said: dict[str, str] = {}
        self.code = 0

    def look(self) -> None:
        """Publish every upload that is complete, and see to the ends of rollouts."""
        for spec in self._specs.values():
            self._settle(spec.app)
            publish.recover(spec)
            for tarball in inbox.tarballs(spec, self._specs):
                complete, why = self._is_complete(tarball)
                if complete:
                    for each in (self._looks, self._judged, self._said):
                        each.pop(tarball, None)
                    self._publish(spec, tarball)
                elif inbox.is_stale(tarball) and self._said.get(tarball) != why:
                    self._said[tarball] = why
                    print(f"{tarball} is not complete: {why}", flush=True)

    def _settle(self, app: str) -> None:
        if app not in self._publishers:
            return
        try:
            rollout = self._publishers[app].settle()
            trouble = ""
        except (GaplessError, OSError) as error:
            rollout, trouble = None, str(error)
        if trouble and self._trouble.get(app) != trouble:
            print(show.paint(f"gapless: {app}: {trouble}", "red"), flush=True)
        self._trouble[app] = trouble
        if rollout is not None:
            fleet.tell_end(rollout, as_json=self._as_json)
            self.code = max(self.code, fleet.code(rollout))

    def _is_complete(self, tarball: str) -> tuple[bool, str]:
        """Judge an upload; one that has not changed since is not read through again."""
        before, now = self._looks.get(tarball), inbox.looks(tarball)
        self._looks[tarball] = now
        judged = self._judged.get(tarball)
        if judged is not None and judged[0] == now == before:
            return False, judged[1]
        complete, why = inbox.is_complete(tarball, before[0] if before else None)
        if before == now:
            self._judged[tarball] = (now, why)
        return complete, why

    def _publish(self, spec: ReleaseSpec, tarball: str) -> None:
        hear = (lambda _: None) if self._as_json else progress.tell
        try:
            if spec.app in self._publishers:
                rollout = self._publishers[spec.app].publish(tarball)
                if self._as_json:
                    show.as_json(fleet.as_data(rollout))
                return
            report = Deployment(Client(), spec, hear).publish(tarball)
        except GaplessError as error:
            self.code = max(self.code, error.exit_code)
            if self._as_json:
                show.as_json({"error": error.describe()})
            else:
                print(show.paint(f"gapless: {error.message}", "red"), flush=True)
            return
        if self._as_json:
            show.as_json(report)
            self.code = max(self.code, 0 if report["outcome"] == "done" else 1)
        else:
            self.code = max(self.code, progress.end(report))
