"""Bring a release to this host, forward or back.

If the app runs here from the release's link, the new release proves itself first and
the link is flipped after that.  A release that fails leaves link and app as they were.
"""

from __future__ import annotations

import socket
from typing import Any

from gapless.base import clock
from gapless.base.errors import GaplessError
from gapless.client import Client
from gapless.deploy import handoff, report, running_app
from gapless.deploy.handoff import Handoff, OnEvent, Permit
from gapless.releases import current, publish, publisher_lock, removal, reports
from gapless.releases.inbox import claims
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.steps import hooks


class Deployment:
    """One release on its way to being current, and the report of it."""

    def __init__(
        self, client: Client, releases: ReleaseSpec, on_event: OnEvent
    ) -> None:
        self._client, self._releases, self._on_event = client, releases, on_event
        self._began = clock.monotonic()
        self._has_flipped = False
        self._flips = True
        self._lead_s = 0.0
        self._permit: Permit | None = None
        self.was_late = False
        """The switch did not happen because it was permitted too late."""
        self.steps: list[dict[str, Any]] = []

    def step(self, name: str, detail: str) -> None:
        """Record a step, and report it."""
        at_s = round(clock.monotonic() - self._began, 4)
        self.steps.append({"step": name, "at_s": at_s, "detail": detail})
        app = self._releases.app
        self._on_event(
            {"event": "step", "app": app, "generation": None, **self.steps[-1]}
        )

    # --- what is deployed ---------------------------------------------------------

    def publish(self, tarball: str) -> dict[str, Any]:
        """Make a tarball the current release.  Raises GaplessError."""
        with publisher_lock.hold(self._releases, self.step) as self._releases:
            release = publish.make_release(self._releases, tarball, progress=self.step)
            return self._deploy_claimed(release)

    def resume(self) -> dict[str, Any] | None:
        """Deploy the release of a publisher that died; None if it had made none.

        Raises GaplessError.
        """
        with publisher_lock.hold(self._releases, self.step) as self._releases:
            release = claims.unfinished_release(self._releases)
            return None if release is None else self._deploy_claimed(release)

    def _deploy_claimed(self, release: Release) -> dict[str, Any]:
        try:
            return self._deploy(release, "publish")
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
            return self._deploy(release, "rollback")

    def follow(
        self, release: Release, *, permit: Permit, flips: bool, lead_s: float = 0.0
    ) -> dict[str, Any]:
        """Let this host run a release of a fleet; *permit* is asked before the switch.

        *flips*: the link is this host's own, and is flipped.  An app that does not run
        here is not started.  *lead_s* is the lead time of a recycle, if the app's file has
        none.  Raises GaplessError.
        """
        self._permit, self._flips, self._lead_s = permit, flips, lead_s
        return self._change_to(release, "follow")

    # --- how it is deployed -------------------------------------------------------

    def _deploy(self, release: Release, action: str) -> dict[str, Any]:
        """Change to a release, run the hook `after`, and write the report."""
        result = self._change_to(release, action)
        if result["outcome"] == "done" and self._releases.hooks.after:
            self._run_after(release, result)
        try:
            self._write_report(release, result)
        except OSError as error:
            # A full disk does not change whether the release serves.
            result["warning"] = f"could not record the outcome: {error}"
        return result

    def _change_to(self, release: Release, action: str) -> dict[str, Any]:
        before = current.current(self._releases)
        described = running_app.describe(self._client, self._releases)
        if described is None:
            self._flip(release)
            result = report.without_handoff(self._releases.app)
            result["steps"] = list(self.steps)
        else:
            result = self._hand_over(release, described)
        return result | {
            "action": action,
            "release": {"old": before.name if before else None, "new": release.name},
        }

    def _hand_over(self, release: Release, described: dict[str, Any]) -> dict[str, Any]:
        wanted = handoff.spec_in(self._releases, release, described, self._lead_s)
        offset_s = clock.monotonic() - self._began

        def on_event(event: dict[str, Any]) -> None:
            if event["step"] == "proven":
                # Other programs read the link: it names only what has proved itself.
                self._flip(release)
            self._on_event(event)

        own = Handoff(self._client, self._permit, on_event)
        try:
            result = own.run(wanted)
        finally:
            self.was_late = own.was_late
        if result["outcome"] == "done" and not self._has_flipped:
            self._flip(release)  # the app had given up: it was started, without a proof
        return result | {"steps": report.merged(self.steps, result["steps"], offset_s)}

    def _flip(self, release: Release) -> None:
        if not self._flips:
            return
        current.flip(self._releases, release)
        self._has_flipped = True
        self.step("flipped", f"{self._releases.link} -> {release.name}")

    # --- when the app has changed -------------------------------------------------

    def _run_after(self, release: Release, result: dict[str, Any]) -> None:
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
            # The release serves already; the report says that the hook is not done.
            result["after"] = error.message
            self.step("hook", f"after failed: {error.message}")

    def _write_report(self, release: Release, result: dict[str, Any]) -> None:
        """Write the report beside the release, and remove releases that are not needed."""
        host = socket.gethostname()
        result["report"] = reports.write_report(self._releases, release, host, result)
        if result["outcome"] == "done":
            in_use = running_app.directories(self._client, self._releases)
            removal.remove_superfluous(self._releases, in_use)
        else:
            reports.mark_failed(self._releases, release, str(result["reason"]))
