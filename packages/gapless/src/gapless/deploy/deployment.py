"""Bring a release to this host, forward or back.

If the app runs here from the release's link, the new release proves itself first and
the link is flipped after that.  A release that fails leaves link and app as they were.

A publish and a rollback are written down before they act
(`releases/publisher/journal.py`).  Who holds the publisher's lock next finishes or undoes
what another has left: what serves, by the word of the supervisor, decides.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gapless.base import clock
from gapless.base.errors import (
    GaplessError,
    MisuseError,
    NotFoundError,
    TimedOutError,
    UnavailableError,
)
from gapless.client import Client
from gapless.deploy import handoff, interrupted, report, running_app
from gapless.deploy.handoff import Handoff, OnEvent, Permit
from gapless.releases import current, publish, publisher_lock, removal, reports
from gapless.releases.inbox import claims
from gapless.releases.model import Release, ReleaseSpec, stamp_of
from gapless.releases.publisher import journal
from gapless.releases.publisher.journal import Change
from gapless.releases.publisher.progress import unbroken
from gapless.releases.signing import records
from gapless.releases.steps import hooks

Report = dict[str, Any]
OnEnd = Callable[[str, Report], None]
"""Is called with the name of an upload and the report in which it ended."""


def _ignore(_upload: str, _report: Report) -> None:
    """Do nothing."""


class Deployment:
    """One release on its way to being current, and the report of it."""

    def __init__(
        self,
        client: Client,
        releases: ReleaseSpec,
        on_event: OnEvent,
        on_end: OnEnd = _ignore,
    ) -> None:
        """Prepare; *on_end* is called before the upload is forgotten."""
        self._client, self._releases = client, releases
        self._on_event, self._on_end = unbroken(on_event), on_end
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

    def publish(self, tarball: str) -> Report:
        """Make a tarball the current release.  Raises GaplessError."""
        with publisher_lock.hold(self._releases, self.step) as self._releases:
            ended = self._recover(
                lambda change: claims.is_of(self._releases, change, tarball)
            )
            if ended is not None:
                return ended
            release = publish.make_release(self._releases, tarball, progress=self.step)
            return self._go_on(release)

    def resume(self) -> Report | None:
        """Finish or undo the change of a publisher that died.

        Returns the report of its release, or None.  Raises GaplessError.
        """
        with publisher_lock.hold(self._releases, self.step) as self._releases:
            ended = self._recover(lambda change: change.action == journal.PUBLISH)
            if ended is not None:
                return ended
            release = claims.unfinished_release(self._releases)  # of an earlier version
            if release is not None:
                return self._go_on(release)
            claims.clean_up(self._releases)
            return None

    def rollback(self, wanted: str, *, seen: str = "") -> Report:
        """Make an earlier release current: *wanted*, or the one before.

        *seen* is the release that serves, as who asks has seen it.  Another rollback may
        have gone back meanwhile, or still end the release that all want to leave: two
        would be one release too far.  Raises GaplessError.
        """
        under_way = journal.read(self._releases)  # first: its end changes what serves
        serves = self._serving()
        seen = seen or serves
        if self._can_go_back(wanted, serves) and seen == serves:
            self._end_waits(under_way)
        with publisher_lock.hold(self._releases, self.step) as self._releases:
            has_ended = journal.has_ended(self._releases, under_way)
            ended = self._recover(lambda change: journal.is_rollback(change, wanted))
            if ended is None and not wanted:
                ended = interrupted.finished_rollback(self._releases)
            if ended is not None:
                return ended
            serves = self._serving()
            if not wanted:
                self._check_serving(serves, seen, under_way if has_ended else None)
            claims.clean_up(self._releases)
            release = self._way_back(wanted, serves)
            change = Change(
                action=journal.ROLLBACK,
                release=release.name,
                token=journal.new_token(),
                began_at=clock.wall(),
            )
            journal.write(self._releases, change)
            return self._deploy(release, change)

    def _serving(self) -> str:
        """Return the release that serves, or that the link names; empty: there is none."""
        described = running_app.describe(self._client, self._releases)
        linked = os.path.basename(current.current_path(self._releases))
        return running_app.release_that_serves(described) or linked

    def _way_back(self, wanted: str, serves: str) -> Release:
        """Return the release to go back to.  Raises GaplessError."""
        if wanted:
            return current.find(self._releases, wanted)
        return current.previous(self._releases, serves)

    def _can_go_back(self, wanted: str, serves: str) -> bool:
        """Return whether there is a release to go back to: else nothing is to be ended.

        A wrong name waits for nobody.  Raises GaplessError.
        """
        try:
            self._way_back(wanted, serves)
        except GaplessError:
            if wanted:
                raise
            return False
        return True

    def _end_waits(self, under_way: Change | None) -> None:
        """Let the publisher that has the lock go on, if it waits for a drain."""
        if under_way is None or not self._client.has_apps():
            return
        # The app may be unknown here, and the supervisor one of before.
        with contextlib.suppress(NotFoundError, MisuseError):
            app, token = self._releases.app, under_way.token
            self._client.request("settle", app=app, token=token)

    def _check_serving(self, serves: str, seen: str, other: Change | None) -> None:
        """Raise MisuseError if another release serves than was seen.

        Also if *other*, which has ended, was a rollback under way at that time.
        """
        app, now = self._releases.app, f"{serves or 'no release'} serves now"
        if other is not None and other.action == journal.ROLLBACK:
            raise MisuseError(
                f"{app}: another rollback, to {other.release}, was under way when this "
                f"one was asked for; {now}",
                hint=f"nothing was done; `gapless rollback {app}` goes back once more",
            )
        if serves != seen:
            raise MisuseError(
                f"{app}: {now}, and {seen or 'none'} did when this rollback was asked for",
                hint="nothing was done",
            )

    def follow(
        self, release: Release, *, permit: Permit, flips: bool, lead_s: float = 0.0
    ) -> Report:
        """Let this host run a release of a fleet; *permit* is asked before the switch.

        *flips*: the link is this host's own, and is flipped.  An app that does not run
        here is not started.  *lead_s* is the lead time of a recycle, if the app's file has
        none.  Raises GaplessError.
        """
        self._permit, self._flips, self._lead_s = permit, flips, lead_s
        return self._change_to(release, "follow", "")

    # --- what another publisher has left --------------------------------------------

    def _recover(self, is_same: Callable[[Change], bool]) -> Report | None:
        """Finish or undo the change of a publisher that died.

        Returns how it ended if *is_same*: the command of that change has come again.
        """
        change = journal.read(self._releases)
        if change is None or not current.is_visible(self._releases, change.release):
            return None  # nothing is placed: `claims.clean_up` undoes it
        release = current.require_visible(self._releases, change.release)
        result, serves = interrupted.end_of(
            self._client,
            self._releases,
            change,
            release,
            on_wait=lambda: self.step("waiting", f"{release.name} was interrupted"),
            on_event=self._flipping(release, 0.0),
        )
        if serves and not self._has_flipped:
            self._tell_flip(self._flip(release))
        if result is None:
            if is_same(change) and change.action == journal.PUBLISH:
                return self._deploy(release, change)
            return None  # nothing has changed: what was claimed goes, or it comes again
        self._has_flipped = True
        return self._conclude(release, change, result, is_same=is_same(change))

    # --- how it is deployed -------------------------------------------------------

    def _go_on(self, release: Release) -> Report:
        """Deploy a release that has been made."""
        change = journal.read(self._releases) or Change(
            action=journal.PUBLISH,
            release=release.name,
            token=journal.new_token(),
            upload=claims.claimed_upload(self._releases),
            began_at=clock.wall(),
        )
        return self._deploy(release, change)

    def _deploy(self, release: Release, change: Change) -> Report:
        """Change to a release, run the hook `after`, and write the report."""
        try:
            result = self._change_to(release, change.action, change.token)
        except (UnavailableError, TimedOutError):
            raise  # the supervisor may have begun: the next publisher asks it
        except GaplessError:
            claims.finish(self._releases)
            current.discard_prepared(self._releases)
            journal.drop(self._releases)
            raise
        return self._conclude(release, change, result, is_same=True)

    def _change_to(self, release: Release, action: str, token: str) -> Report:
        before = current.current(self._releases)
        old = before.name if before else None
        described = running_app.describe(self._client, self._releases)
        if described is None:
            self._tell_flip(self._flip(release))
            result = report.without_handoff(self._releases.app, token)
            result["steps"] = list(self.steps)
        else:
            serves = running_app.release_that_serves(described)
            if self._flips and stamp_of(self._releases.app, serves):
                # It may be marked as failed, and have been started without a flip since.
                with contextlib.suppress(OSError):
                    reports.mark_proven(self._releases, serves)
            old = serves or old
            result = self._hand_over(release, described, token)
        return result | {
            "action": action,
            "release": {"old": old, "new": release.name},
            "signed_by": records.signer_of(self._releases, release.name),
        }

    def _hand_over(
        self, release: Release, described: dict[str, Any], token: str
    ) -> Report:
        wanted = handoff.spec_in(self._releases, release, described, self._lead_s)
        if self._flips:
            journal.with_reserve(
                self._releases, lambda: current.prepare(self._releases, release)
            )
        offset_s = clock.monotonic() - self._began
        own = Handoff(self._client, self._permit, self._flipping(release, offset_s))
        try:
            serves = running_app.release_that_serves(described)
            before = stamp_of(release.app, serves)
            back = before is not None and release.stamp < before
            result = own.run(wanted, token, back=back)
        finally:
            self.was_late = own.was_late
        if result["outcome"] == "done" and not self._has_flipped:
            # It had given up: it was started, without a proof.
            self._tell_flip(self._try_flip(release))
        return result | {"steps": report.merged(self.steps, result["steps"], offset_s)}

    def _flipping(self, release: Release, offset_s: float) -> OnEvent:
        """Return what takes the events of a reload: the link is flipped at the proof.

        The reload began *offset_s* after the deployment; all steps are told by one clock.
        """

        def on_event(event: dict[str, Any]) -> None:
            # Other programs read the link: it names only what has proved itself.
            flipped = self._try_flip(release) if event["step"] == "proven" else None
            self._on_event(report.shifted(event, offset_s))
            self._tell_flip(flipped)

        return on_event

    def _try_flip(self, release: Release) -> tuple[str, str] | None:
        """Flip the link; return the step to tell, which is none if it stays.

        An error does not end a handoff that has happened.
        """
        try:
            return self._flip(release)
        except (OSError, GaplessError) as error:
            return "flip failed", str(error)

    def _flip(self, release: Release) -> tuple[str, str] | None:
        if not self._flips:
            return None
        current.flip(self._releases, release)
        self._has_flipped = True
        return "flipped", f"{self._releases.link} -> {release.name}"

    def _tell_flip(self, flipped: tuple[str, str] | None) -> None:
        if flipped is not None:
            self.step(*flipped)

    # --- when the app has changed -------------------------------------------------

    def _conclude(
        self, release: Release, change: Change, result: Report, *, is_same: bool
    ) -> Report:
        """Write down how a change ended, and that nothing of it is left to do."""
        is_done = result["outcome"] == "done"
        if is_done and self._releases.hooks.after and "report" not in result:
            self._run_after(release, result)
        try:
            self._write_report(release, result)
        except OSError as error:
            # A full disk does not change whether the release serves.
            result["warning"] = f"could not record the outcome: {error}"
        if upload := claims.upload_of(self._releases, change):
            self._on_end(upload, result)
        if is_done and not self._has_flipped:
            result["warning"] = (
                f"the link {self._releases.link} could not be flipped: the next publish, "
                "rollback or watch does it"
            )
            return result  # and so the journal stays
        claims.finish(self._releases)
        current.discard_prepared(self._releases)
        reports.remove_parts(self._releases, release.name)
        journal.keep_reserve(self._releases)
        if change.action == journal.ROLLBACK and is_done and not is_same:
            journal.write(self._releases, replace(change, is_settled=True))
        else:
            journal.drop(self._releases)
        return result

    def _run_after(self, release: Release, result: Report) -> None:
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

    def _write_report(self, release: Release, result: Report) -> None:
        """Write the report beside the release, and remove releases that are not needed."""
        if "report" not in result:
            result["report"] = reports.write_report(
                self._releases, release, _host(), result
            )
        if result["outcome"] == "done":
            in_use = running_app.directories(self._client, self._releases)
            removal.remove_superfluous(self._releases, in_use)
        elif report.blames_release(result) and not self._serves(release):
            reports.mark_failed(self._releases, release, str(result["reason"]))

    def _serves(self, release: Release) -> bool:
        """Return whether a release serves all the same: as it did before, or since."""
        described = running_app.describe(self._client, self._releases)
        return running_app.release_that_serves(described) == release.name


def _host() -> str:
    return socket.gethostname()
