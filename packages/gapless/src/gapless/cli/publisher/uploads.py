"""Publish the uploads of one app, one after the other, and keep account of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from gapless.agent.publisher import FleetPublisher
from gapless.base import clock
from gapless.base.errors import GaplessError, StoppedError, UnavailableError
from gapless.cli.publisher.output import Telling
from gapless.client import Client
from gapless.deploy.deployment import Deployment
from gapless.push.outcome import Outcome, Stage
from gapless.push.outcome_store import OutcomeStore
from gapless.releases.inbox import claims, completeness, partial_uploads, uploads
from gapless.releases.model import ReleaseSpec
from gapless.rollout.model import Rollout

RETRY_S = 5.0
"""Of what may cure itself: a coordinator that is away, a host that is not there yet."""
_CURABLE = ("unavailable", "conflict", "misuse")
_QUIET_STEPS = ("built", "sealed", "placed", "flipped", "rollout")
_UNDOABLE = ("claimed", "unpacked", "building", "built")
"""Steps at which it may end when it is told to: nothing has happened to anybody else."""


class Uploads:
    """Looks at the inbox of one app again and again."""

    def __init__(
        self,
        spec: ReleaseSpec,
        apps: Iterable[str],
        account: OutcomeStore,
        telling: Telling,
        *,
        open_fleet: Callable[[Callable[[str, str], None]], FleetPublisher] | None,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._spec, self._apps = spec, tuple(apps)
        self._account, self._telling = account, telling
        self._fleet = open_fleet(self._step) if open_fleet else None
        self._is_stopping = is_stopping
        self._looks: dict[str, tuple[completeness.FileState | None, ...]] = {}
        self._judged: dict[
            str, tuple[tuple[completeness.FileState | None, ...], str]
        ] = {}
        """Why an upload was not complete, and how it looked then."""
        self._given_up: dict[str, completeness.FileState | None] = {}
        """How an upload looked that failed: only another one is tried."""
        self._said: dict[str, str] = {}
        self._again_at = 0.0
        self._upload, self._steps = "", set[str]()
        self._is_open = False
        self.code = 0

    def look(self) -> None:
        """Publish every upload that is complete.  Raises GaplessError, OSError."""
        if clock.monotonic() < self._again_at:
            return
        if not self._is_open:
            self._take_over()
        if claims.recover(self._spec):
            self._publish(f"{self._spec.inbox}/{claims.claimed_upload(self._spec)}")
        for tarball in uploads.of_app(self._spec, self._apps):
            if self._is_stopping() or clock.monotonic() < self._again_at:
                return
            if tarball in self._given_up:
                if self._given_up[tarball] == completeness.state_of(tarball):
                    continue
                del self._given_up[tarball]
            complete, why = self._is_complete(tarball)
            if complete:
                for each in (self._looks, self._judged):
                    each.pop(tarball, None)
                self._publish(tarball)
            elif completeness.is_stale(tarball) and self._said.get(tarball) != why:
                self._said[tarball] = why
                self._telling.line(f"{tarball} is not complete: {why}")

    def _is_complete(self, tarball: str) -> tuple[bool, str]:
        """Judge an upload; one that has not changed since is not read through again."""
        before, now = self._looks.get(tarball), completeness.states_of(tarball)
        self._looks[tarball] = now
        judged = self._judged.get(tarball)
        if judged is not None and judged[0] == now == before:
            return False, judged[1]
        complete, why = completeness.is_complete(tarball, before[0] if before else None)
        if before == now:
            self._judged[tarball] = (now, why)
        return complete, why

    # --- publishing -----------------------------------------------------------------------

    def _publish(self, tarball: str) -> None:
        """Publish an upload; bring it on, if it is not in the inbox any more."""
        self._upload, self._steps = os.path.basename(tarball), set()
        lies_there = os.path.exists(tarball)
        try:
            if self._fleet is not None:
                if lies_there:
                    self._fleet.publish(tarball, self._begun)
                else:
                    self._fleet.resume(self._begun)
            else:
                deployment = Deployment(Client(), self._spec, self._hear)
                report = (
                    deployment.publish(tarball) if lies_there else deployment.resume()
                )
                if report is not None:
                    self._ended(report)
        except StoppedError as error:
            self._tell(Stage.WAITING, error.message)
        except GaplessError as error:
            self._failed(tarball, error)
        except OSError as error:
            where = f" {error.filename}:" if error.filename else ""
            reason = (error.strerror or str(error)).lower()
            self._failed(
                tarball,
                UnavailableError(
                    f"{self._spec.app}: could not publish {self._upload}:{where} {reason}"
                ),
            )
        else:
            self._said.pop(tarball, None)

    def _begun(self, rollout: Rollout) -> None:
        self._telling.rollout(rollout)
        self._account.write(
            Outcome(
                upload=self._upload,
                app=self._spec.app,
                stage=Stage.ROLLING,
                release=rollout.release,
                rollout=rollout.number,
                report=f"{self._spec.reports}/{rollout.release}",
            )
        )

    def _ended(self, report: dict[str, Any]) -> None:
        self.code = max(self.code, self._telling.report(report))
        done = report["outcome"] == "done"
        tail = "".join(f"\n    {each}" for each in report["log_tail"])
        self._account.write(
            Outcome(
                upload=self._upload,
                app=self._spec.app,
                stage=Stage.DONE if done else Stage.FAILED,
                detail=str(report.get("after") or "")
                if done
                else f"{report['reason']}{tail}",
                release=str(report["release"]["new"]),
                report=str(report.get("report") or ""),
            )
        )

    def _failed(self, tarball: str, error: GaplessError) -> None:
        """Name what failed; what cannot cure itself is not tried again."""
        self.code = max(self.code, error.exit_code)
        if self._said.get(tarball) != error.message:
            self._said[tarball] = error.message
            self._telling.error(error)
        is_claimed = claims.claimed_upload(self._spec) == self._upload
        if error.kind in _CURABLE and (is_claimed or os.path.exists(tarball)):
            self._again_at = clock.monotonic() + RETRY_S
            self._tell(Stage.WAITING, error.message)
            return
        if os.path.exists(tarball):
            self._given_up[tarball] = completeness.state_of(tarball)
            self._telling.line(f"{tarball} is not tried again until it changes")
        stage = Stage.FAILED if "placed" in self._steps else Stage.REFUSED
        self._tell(stage, error.message)

    def _take_over(self) -> None:
        """Find what an earlier publisher left, and tell of uploads that are lost."""
        partial_uploads.remove_abandoned(self._spec.inbox)
        self._account.load()
        self._is_open = True
        claimed = claims.claimed_upload(self._spec)
        for outcome in self._account.unfinished(self._spec.app):
            lies_there = os.path.exists(f"{self._spec.inbox}/{outcome.upload}")
            if not outcome.rollout and not lies_there and outcome.upload != claimed:
                self._upload = outcome.upload
                self._tell(
                    Stage.FAILED,
                    "the release server was interrupted, and something else took the "
                    f"upload; `gapless releases {self._spec.app}` there lists what is",
                )

    # --- steps ----------------------------------------------------------------------------

    def _hear(self, event: dict[str, Any]) -> None:
        """Hear a step of a publisher of one machine."""
        self._note(str(event["step"]), str(event["detail"]))
        self._telling.event(event)

    def _step(self, step: str, detail: str) -> None:
        """Hear a step of a publisher of a fleet."""
        self._telling.step(self._spec.app, step, detail)
        self._note(step, detail)

    def _note(self, step: str, detail: str) -> None:
        self._steps.add(step)
        if self._upload and step not in _QUIET_STEPS:
            self._tell(Stage.PUBLISHING, f"{step} {detail}".strip())
        if step in _UNDOABLE and self._is_stopping():
            raise StoppedError(
                f"{self._spec.app}: {self._upload} lies in the inbox again: "
                "the release server was told to end"
            )

    def _tell(self, stage: Stage, detail: str) -> None:
        self._account.write(
            Outcome(upload=self._upload, app=self._spec.app, stage=stage, detail=detail)
        )
