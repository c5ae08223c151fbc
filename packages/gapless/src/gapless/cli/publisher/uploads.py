"""Publish the uploads of one app, one after the other, and write the outcome of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from gapless.agent.publisher import FleetPublisher
from gapless.base import clock
from gapless.base.errors import DONE, GaplessError, StoppedError, UnavailableError
from gapless.base.outside.text import printable
from gapless.cli.publisher import faults
from gapless.cli.publisher.output import WatchOutput
from gapless.cli.publisher.readiness import UploadReadiness
from gapless.client import Client
from gapless.deploy.deployment import Deployment
from gapless.push.outcome import Stage
from gapless.push.outcome_store import OutcomeStore
from gapless.push.upload_outcome import UploadOutcome
from gapless.releases import current, file_state
from gapless.releases.inbox import (
    claims,
    completeness,
    partial_uploads,
    refused,
    uploads,
)
from gapless.releases.inbox.opened import IncompleteError
from gapless.releases.model import ReleaseSpec
from gapless.rollout.model import Rollout

RETRY_S = 5.0
_RETRIED_ERRORS = ("unavailable", "conflict", "misuse")
"""Kinds of errors that may go away: no coordinator, a host that is not there yet."""
_UNDOABLE_STEPS = ("claimed", "signed", "unpacked", "building", "built")
"""Steps after which a publish can be undone: no app and no host was changed."""

OpenPublisher = Callable[[Callable[[str, str], None]], FleetPublisher]
"""Opens the publisher of a fleet, which calls back with each step and its detail."""


class UploadPublisher:
    """Checks the inbox of one app each time that it is called."""

    def __init__(
        self,
        spec: ReleaseSpec,
        apps: Iterable[str],
        outcomes: OutcomeStore,
        output: WatchOutput,
        *,
        open_publisher: OpenPublisher | None,
        is_stopping: Callable[[], bool],
    ) -> None:
        """*apps* share the inbox; *open_publisher* is None for an app without a fleet."""
        self._spec, self._apps = spec, tuple(apps)
        self._outcomes, self._output = outcomes, output
        self._publisher = open_publisher(self._fleet_step) if open_publisher else None
        self._is_stopping = is_stopping
        self._readiness = UploadReadiness(spec.limits, is_signed=bool(spec.signers))
        self._outcome = UploadOutcome(spec, outcomes)
        self._printed: dict[str, str] = {}
        """By upload: the trouble that was printed last."""
        self._retry_at = 0.0
        self._has_taken_over = False
        self.exit_code = DONE
        """The worst end of an upload so far."""

    def check(self) -> None:
        """Publish every upload that is complete.  Raises GaplessError, OSError."""
        if clock.monotonic() < self._retry_at:
            return
        if not self._has_taken_over:
            self._take_over()
        self._tell_lost()
        if claims.recover(self._spec):
            self._resume()
        for name in uploads.misnamed(self._spec, self._apps):
            self._print_once(
                f"{self._spec.inbox}/{name}",
                "is not taken: its name is too long, or cannot be shown",
            )
        for tarball in uploads.of_app(self._spec, self._apps):
            if self._is_stopping() or clock.monotonic() < self._retry_at:
                return
            if not self._readiness.is_given_up(tarball):
                self._check_upload(tarball)

    def _check_upload(self, tarball: str) -> None:
        """Publish an upload if it is complete, and nobody else is at work on it."""
        try:
            complete, why = self._readiness.is_complete(tarball)
        except Exception as error:  # noqa: BLE001 - it costs no other upload
            self._outcome.begin(os.path.basename(tarball))
            self._fail(tarball, faults.error_of(self._spec.app, error))
            return
        if complete and not claims.is_under_way(self._spec, tarball):
            self._publish(tarball)
        elif not complete and completeness.is_stale(tarball):
            self._print_once(tarball, f"is not complete: {why}")

    def _print_once(self, tarball: str, text: str) -> None:
        """Print what is the matter with an upload, if that was not printed last."""
        if self._printed.get(tarball) != text:
            self._printed[tarball] = text
            self._output.line(printable(f"{tarball} {text}"))

    def _take_over(self) -> None:
        """Read what earlier publishers have left."""
        partial_uploads.remove_abandoned(self._spec.inbox)
        self._outcomes.load()
        self._has_taken_over = True

    def _tell_lost(self) -> None:
        """Write what became of uploads that another publisher took and did not end."""
        for outcome in self._outcomes.unfinished(self._spec.app):
            if outcome.rollout or self._is_here(outcome.upload):
                continue
            if self._outcomes.refresh(outcome.upload):
                continue  # the other publisher has written it
            self._outcome.begin(outcome.upload)
            if reason := refused.reason_of(self._spec, outcome.upload):
                self._outcome.write(Stage.REFUSED, reason)
                continue
            self._outcome.write(
                Stage.FAILED,
                "the release server was interrupted, and another program took the "
                f"upload; `gapless releases {self._spec.app}` there lists the releases",
            )

    def _is_here(self, upload: str) -> bool:
        """Return whether an upload is in the inbox or claimed, and so has a future."""
        path = f"{self._spec.inbox}/{upload}"
        return os.path.lexists(path) or claims.claimed_upload(self._spec) == upload

    # --- publishing -----------------------------------------------------------------------

    def _resume(self) -> None:
        """Finish or undo what another publisher has begun."""
        upload = claims.claimed_upload(self._spec)
        # A tarball from elsewhere has no outcome: nobody has uploaded it.
        self._outcome.resume(upload)
        self._try(f"{self._spec.inbox}/{upload}", self._resume_claimed)

    def _publish(self, tarball: str) -> None:
        """Publish an upload."""
        before = file_state.state_of(tarball)
        self._outcome.begin(os.path.basename(tarball))
        self._try(tarball, lambda: self._publish_upload(tarball))
        if self._outcome.is_placed and file_state.state_of(tarball) == before:
            # It could not be taken out: it must not become a release again and again.
            self._give_up(tarball)

    def _try(self, tarball: str, act: Callable[[], object]) -> None:
        """Publish with *act*; print and write what fails."""
        try:
            act()
        except StoppedError as error:
            self._outcome.wait(error.message)
        except GaplessError as error:
            self._fail(tarball, error)
        except OSError as error:
            where = f" {error.filename}:" if error.filename else ""
            reason = (error.strerror or str(error)).lower()
            self._fail(
                tarball,
                UnavailableError(
                    f"{self._spec.app}: could not publish {self._outcome.upload}:"
                    f"{where} {reason}"
                ),
            )
        except Exception as error:  # noqa: BLE001 - it costs no other upload, and no app
            self._retry_at = clock.monotonic() + faults.PAUSE_S
            self._fail(tarball, faults.error_of(self._spec.app, error))
        else:
            self._printed.pop(tarball, None)

    def _publish_upload(self, tarball: str) -> None:
        if self._publisher is not None:
            self._publisher.publish(tarball, self._rollout_begun)
        else:
            self._print(self._deployment().publish(tarball))

    def _resume_claimed(self) -> None:
        if self._publisher is not None:
            self._publisher.resume(self._rollout_begun)
        else:
            self._print(self._deployment().resume())

    def _deployment(self) -> Deployment:
        return Deployment(Client(), self._spec, self._host_step, self._outcome.end)

    def _print(self, report: dict[str, Any] | None) -> None:
        if report is not None:
            self.exit_code = max(self.exit_code, self._output.report(report))

    def _rollout_begun(self, rollout: Rollout) -> None:
        self._output.rollout(rollout)
        self._outcome.rollout_begun(rollout)

    def _fail(self, tarball: str, error: GaplessError) -> None:
        """Print and write an error; try again later only if it may go away.

        What becomes of an upload is written by the publisher that has claimed it.
        """
        is_gone = error.kind == "not_found" and not os.path.lexists(tarball)
        if is_gone and not self._outcome.is_claimed:
            self._output.line(f"{tarball} was taken by another publisher")
            return
        self.exit_code = max(self.exit_code, error.exit_code)
        is_new = self._printed.get(tarball) != error.message
        if is_new:
            self._printed[tarball] = error.message
            self._output.error(error)
        if isinstance(error, IncompleteError):  # the uploads behind it do not wait
            if is_new:
                self._outcome.wait(error.message)
            return
        is_claimed = claims.claimed_upload(self._spec) == self._outcome.upload
        if error.kind in _RETRIED_ERRORS and (is_claimed or os.path.lexists(tarball)):
            self._retry_at = clock.monotonic() + RETRY_S
            self._outcome.wait(error.message)
            return
        if os.path.lexists(tarball):
            self._give_up(tarball)
        elif is_new:
            self._tell_refused()
        self._outcome.fail(error.message)

    def _tell_refused(self) -> None:
        """Print where a refused upload is kept, and what serves on."""
        kept = f"{self._spec.refused}/{self._outcome.upload}"
        if not os.path.lexists(kept):
            return
        serves = current.current(self._spec)
        self._output.line(
            printable(
                f"{self._spec.app}: {self._outcome.upload} was refused, and is kept as "
                f"{kept}, with the reason in {kept}{refused.REASON}; "
                + (f"{serves.name} stays" if serves else "there is no release yet")
            )
        )

    def _give_up(self, tarball: str) -> None:
        self._readiness.give_up(tarball)
        self._output.line(f"{tarball} is not tried again until it changes")

    # --- steps ----------------------------------------------------------------------------

    def _host_step(self, event: dict[str, Any]) -> None:
        """Take in a step of a publish on this host."""
        self._take_step(str(event["step"]), str(event["detail"]))
        self._output.host_step(event)

    def _fleet_step(self, step: str, detail: str) -> None:
        """Take in a step of a publish to a fleet."""
        self._output.fleet_step(self._spec.app, step, detail)
        self._take_step(step, detail)

    def _take_step(self, step: str, detail: str) -> None:
        """Write a step.  Raises StoppedError if the watch is to end, and can undo it."""
        self._outcome.step(step, detail)
        if step in _UNDOABLE_STEPS and self._is_stopping():
            raise StoppedError(
                f"{self._spec.app}: {self._outcome.upload} is still in the inbox: "
                "the release server was told to end"
            )
