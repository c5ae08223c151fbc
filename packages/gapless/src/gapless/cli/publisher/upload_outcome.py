"""The outcome of the upload that is being published, written after each change."""

from __future__ import annotations

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
        """Go on to another upload."""
        self.upload, self._steps = upload, set()

    def step(self, step: str, detail: str) -> None:
        """Write that a step was taken."""
        self._steps.add(step)
        if self.upload and step not in _SILENT_STEPS:
            self.write(Stage.PUBLISHING, f"{step} {detail}".strip())

    def wait(self, reason: str) -> None:
        """Write that the upload is not published yet."""
        self.write(Stage.WAITING, reason)

    def fail(self, reason: str) -> None:
        """Write that the upload failed, or was refused if it became no release."""
        self.write(Stage.FAILED if "placed" in self._steps else Stage.REFUSED, reason)

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

    def report(self, report: dict[str, Any]) -> None:
        """Write how the release ended on this host."""
        done = report["outcome"] == "done"
        tail = "".join(f"\n    {each}" for each in report["log_tail"])
        self._outcomes.write(
            Outcome(
                upload=self.upload,
                app=self._spec.app,
                stage=Stage.DONE if done else Stage.FAILED,
                detail=str(report.get("after") or "")
                if done
                else f"{report['reason']}{tail}",
                release=str(report["release"]["new"]),
                report=str(report.get("report") or ""),
            )
        )

    def write(self, stage: Stage, detail: str) -> None:
        """Write a stage of the upload."""
        self._outcomes.write(
            Outcome(upload=self.upload, app=self._spec.app, stage=stage, detail=detail)
        )
