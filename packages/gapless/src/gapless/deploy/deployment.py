"""Bring a release to this host: one path forward and back.

If the app runs here from the release's link, the new release proves itself first and
the link is flipped after that.  A release that fails leaves link and app as they were.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable
from typing import Any, Protocol

from gapless.base import clock, codec
from gapless.base.errors import GaplessError, NotFoundError
from gapless.client import Client
from gapless.config.refresh import refreshed
from gapless.deploy import running_app
from gapless.releases import current, publish, publisher_lock, removal, reports
from gapless.releases.inbox import claims
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.steps import hooks
from gapless.supervisor.memory.spec import AppSpec

Hear = Callable[[dict[str, Any]], None]


class Permit(Protocol):
    """Decides whether a switch may still happen, right before it."""

    @property
    def until(self) -> float:
        """When a permit that was just given ends, on CLOCK_BOOTTIME."""

    def refused(self) -> str:
        """Return why the switch may not happen; empty if it may."""


class Deployment:
    """One release on its way to being current, and the report of it."""

    def __init__(self, client: Client, releases: ReleaseSpec, hear: Hear) -> None:
        self._client, self._releases, self._hear = client, releases, hear
        self._began = clock.monotonic()
        self._flipped = False
        self._flips = True
        self._lead_s = 0.0
        self._permit: Permit | None = None
        self.was_late = False
        """The switch did not happen because it was permitted too late."""
        self.steps: list[dict[str, Any]] = []

    def step(self, name: str, detail: str) -> None:
        """Note a step, and report it."""
        at_s = round(clock.monotonic() - self._began, 4)
        self.steps.append({"step": name, "at_s": at_s, "detail": detail})
        app = self._releases.app
        event = {"event": "step", "app": app, "generation": None, **self.steps[-1]}
        self._hear(event)

    def publish(self, tarball: str) -> dict[str, Any]:
        """Make a tarball the current release.  Raises GaplessError."""
        with publisher_lock.hold(self._releases, self.step) as self._releases:
            release = publish.make_release(self._releases, tarball, progress=self.step)
            return self._bring_claimed(release)

    def resume(self) -> dict[str, Any] | None:
        """Bring on the release of a publisher that died, if it had made one.

        Raises GaplessError.
        """
        with publisher_lock.hold(self._releases, self.step) as self._releases:
            release = claims.unfinished_release(self._releases)
            return None if release is None else self._bring_claimed(release)

    def _bring_claimed(self, release: Release) -> dict[str, Any]:
        try:
            return self._bring(release, "publish")
        finally:
            claims.finish(self._releases)

    def rollback(self, wanted: str) -> dict[str, Any]:
        """Make an earlier release current: *wanted*, or the one before.

        Raises GaplessError.
        """
        with publisher_lock.hold(self._releases, self.step) as self._releases:
            claims.clean_up(self._releases)
            if wanted:
                release = current.find(self._releases, wanted)
            else:
                release = current.previous(self._releases)
            return self._bring(release, "rollback")

    def follow(
        self, release: Release, *, permit: Permit, flips: bool, lead_s: float = 0.0
    ) -> dict[str, Any]:
        """Let this host run a release of a fleet; *permit* is asked before the switch.

        The link is flipped only if it is this host's own.  An app that does not run here
        is not started.  *lead_s* is for a recycle that says nothing itself.  Raises
        GaplessError.
        """
        self._permit, self._flips, self._lead_s = permit, flips, lead_s
        return self._go(release, "follow")

    def _bring(self, release: Release, action: str) -> dict[str, Any]:
        report = self._go(release, action)
        if report["outcome"] == "done" and self._releases.hooks.after:
            self._run_after(release, report)
        try:
            self._write_report(release, report)
        except OSError as error:
            # A full disk does not change whether the release serves.
            report["warning"] = f"could not keep account: {error}"
        return report

    def _go(self, release: Release, action: str) -> dict[str, Any]:
        before = current.current(self._releases)
        described = running_app.describe(self._client, self._releases)
        if described is None:
            self._flip(release)
            report = self._plain_report(action, before, release)
        else:
            report = self._hand_over(release, described) | {"action": action}
            report["release"] = {
                "old": before.name if before else None,
                "new": release.name,
            }
        offset = report.pop("_offset", 0.0)
        for step in report["steps"]:
            step["at_s"] = round(step["at_s"] + offset, 4)
        report["steps"] = sorted(
            [*self.steps, *report["steps"]], key=lambda step: step["at_s"]
        )
        return report

    def _write_report(self, release: Release, report: dict[str, Any]) -> None:
        """Write the report beside the release, and remove releases that are not needed."""
        host = socket.gethostname()
        report["report"] = reports.write_report(self._releases, release, host, report)
        if report["outcome"] == "done":
            in_use = running_app.directories(self._client, self._releases)
            removal.remove_superfluous(self._releases, in_use)
        else:
            reports.mark_failed(self._releases, release, str(report["reason"]))

    # --- the app ------------------------------------------------------------------

    def _hand_over(self, release: Release, described: dict[str, Any]) -> dict[str, Any]:
        wanted = self._spec_in(release, described)
        offset = clock.monotonic() - self._began

        def hear(event: dict[str, Any]) -> None:
            if event["step"] == "proven":
                # Other programs read the link: it names only what has proved itself.
                self._flip(release)
            if event["step"] == "permit":
                self._answer(wanted.name)
            self._hear(event)

        report: dict[str, Any] = self._client.request(
            "reload",
            on_event=hear,
            app=wanted.name,
            spec=codec.encode(wanted),
            permit=self._permit is not None,
        )
        if report["outcome"] == "done" and not self._flipped:
            self._flip(release)  # an app that had given up was simply started
        return report | {"_offset": offset}

    def _answer(self, app: str) -> None:
        """Answer whether the switch may still happen."""
        assert self._permit is not None
        try:
            refused = self._permit.refused()
            until = self._permit.until
            answer = self._client.request(
                "permit", app=app, refused=refused, until=until
            )
        except NotFoundError:
            self.was_late = True  # it waited too long, and has gone back
        else:
            self.was_late = not refused and not answer["permitted"]

    def _spec_in(self, release: Release, described: dict[str, Any]) -> AppSpec:
        """Return the app's configuration, as it stands in its file now, in a release."""
        running = codec.decode(AppSpec, described["spec"])
        wanted = refreshed(running, inside=(self._releases, release))
        recycle = wanted.recycle
        if not recycle.lead_s:
            recycle = dataclasses.replace(recycle, lead_s=self._lead_s)
        return dataclasses.replace(wanted, release=release.name, recycle=recycle)

    # --- the release --------------------------------------------------------------

    def _flip(self, release: Release) -> None:
        if not self._flips:
            return
        current.flip(self._releases, release)
        self._flipped = True
        self.step("flipped", f"{self._releases.link} -> {release.name}")

    def _run_after(self, release: Release, report: dict[str, Any]) -> None:
        try:
            hooks.run(
                self._releases,
                release,
                "after",
                self._releases.hooks.after,
                directory=release.path,
                variables={},
            )
            self.step("hook", "after")
        except GaplessError as error:
            # It serves already; the report says what is left to be done.
            report["after"] = error.message
            self.step("hook", f"after failed: {error.message}")

    def _plain_report(
        self, action: str, before: Release | None, release: Release
    ) -> dict[str, Any]:
        return {
            "app": self._releases.app,
            "action": action,
            "outcome": "done",
            "reason": None,
            "generation": {"old": None, "new": None},
            "release": {"old": before.name if before else None, "new": release.name},
            "instances": 0,
            "started_at": clock.stamp(clock.wall()),
            "steps": [],
            "connections": {"seen": 0, "finished": 0, "cut": 0},
            "requests": None,
            "procedures": None,
            "longest": None,
            "cut": [],
            "log_tail": [],
        }
