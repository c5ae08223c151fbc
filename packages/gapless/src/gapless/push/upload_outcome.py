"""The outcome of the upload that is being published, written after each change."""

from __future__ import annotations

import contextlib
from typing import Any

from gapless.push.outcome import Outcome, Stage
from gapless.push.outcome_store import OutcomeStore
from gapless.releases.model import ReleaseSpec
from gapless.rollout.model import Rollout

_SILENT_STEPS = ("built", "sealed", "placed", "flipped", "rollout")
"""Steps that follow another within a moment: they are not written."""


class UploadOutcome:
    """Writes the outcomes of the uploads of one app, one upload at a time."""

    def __init__(self, spec: ReleaseSpec, outcomes: OutcomeStore) -> None:
        self._spec, self._outcomes = spec, outcomes
        self.upload = ""
        """The name of the upload; empty before the first."""
        self._steps = set[str]()

    def begin(self, upload: str) -> None:
        """Go on to another upload; until it is claimed, no step of it is written."""
        self.upload, self._steps = upload, set()

    def resume(self, upload: str) -> None:
        """Go on with an upload that another publisher has claimed."""
        self.upload, self._steps = upload, {"claimed", "placed"}

    @property
    def is_claimed(self) -> bool:
        """Whether no other publisher can have taken the upload."""
        return "claimed" in self._steps

    @property
    def is_placed(self) -> bool:
        """Whether the upload has become a release."""
        return "placed" in self._steps

    def step(self, step: str, detail: str) -> None:
        """Write that a step was taken."""
        self._steps.add(step)
        if self.upload and self.is_claimed and step not in _SILENT_STEPS:
            self.write(Stage.PUBLISHING, f"{step} {detail}".strip())

    def wait(self, reason: str) -> None:
        """Write that the upload is not published yet."""
        self.write(Stage.WAITING, reason)

    def fail(self, reason: str) -> None:
        """Write that the upload failed, or was refused if it became no release."""
        self.write(Stage.FAILED if self.is_placed else Stage.REFUSED, reason)

    def rollout_begun(self, rollout: Rollout) -> None:
        """Write that hosts change to the release."""
        self._outcomes.write(
            Outcome(
                upload=self.upload,
                app=self._spec.app,
                stage=Stage.ROLLING,
                release=rollout.release,
                rollout=rollout.number,
                report=f"{self._spec.reports}/{rollout.release}",
            )
        )

    def end(self, upload: str, report: dict[str, Any]) -> None:
        """Write how the release of an upload ended on this host."""
        done = report["outcome"] == "done"
        hint = f"\n  hint: {report['hint']}" if report.get("hint") else ""
        tail = "".join(f"\n    {each}" for each in report["log_tail"])
        self._outcomes.write(
            Outcome(
                upload=upload,
                app=self._spec.app,
                stage=Stage.DONE if done else Stage.FAILED,
                detail=str(report.get("after") or "")
                if done
                else f"{report['reason']}{hint}{tail}",
                release=str(report["release"]["new"]),
                report=str(report.get("report") or ""),
            )
        )

    def write(self, stage: Stage, detail: str) -> None:
        """Write a stage of the upload; what nobody uploaded has none."""
        if not self.upload:
            return
        self._outcomes.write(
            Outcome(upload=self.upload, app=self._spec.app, stage=stage, detail=detail)
        )


class KnownOutcomes:
    """Writes the end of uploads that a `watch` has begun, and a command has published."""

    def __init__(self, spec: ReleaseSpec) -> None:
        self._spec = spec

    def end(self, upload: str, report: dict[str, Any]) -> None:
        """Write how the release of an upload ended, if somebody may read that."""
        outcomes = OutcomeStore(self._spec.base, lambda _: None)
        with contextlib.suppress(OSError):
            outcomes.load()
            if any(o.upload == upload for o in outcomes.unfinished(self._spec.app)):
                UploadOutcome(self._spec, outcomes).end(upload, report)

    def begun(self, upload: str, rollout: Rollout) -> None:
        """Write that hosts change to the release of an upload, if somebody may read it."""
        outcomes = OutcomeStore(self._spec.base, lambda _: None)
        with contextlib.suppress(OSError):
            outcomes.load()
            if any(o.upload == upload for o in outcomes.unfinished(self._spec.app)):
                outcome = UploadOutcome(self._spec, outcomes)
                outcome.resume(upload)
                outcome.rollout_begun(rollout)
