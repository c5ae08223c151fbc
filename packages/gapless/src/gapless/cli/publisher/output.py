"""What `watch` prints: whole lines, whichever thread says them."""

from __future__ import annotations

import sys
import threading
from typing import Any

from gapless.base.errors import DONE, FAILED, GaplessError
from gapless.cli import fleets, output, progress
from gapless.rollout.model import Rollout


class Telling:
    """Prints for people, or for machines."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json, self._lock = as_json, threading.Lock()

    def line(self, text: str) -> None:
        """Print a remark, where it disturbs no output for machines."""
        with self._lock:
            print(text, file=sys.stderr if self._as_json else sys.stdout, flush=True)

    def trouble(self, app: str, text: str) -> None:
        """Print what is in the way."""
        self.line(output.paint(f"gapless: {app}: {text}", "red"))

    def step(self, app: str, step: str, detail: str) -> None:
        """Print a step of a publisher of a fleet."""
        if not self._as_json:
            self.line(f"{app} {step}: {detail}")

    def event(self, event: dict[str, Any]) -> None:
        """Print a step of a publisher of one machine."""
        if not self._as_json:
            with self._lock:
                progress.show_step(event)

    def error(self, error: GaplessError) -> None:
        """Print why an upload was not published."""
        if self._as_json:
            self._data({"error": error.describe()})
        else:
            self.line(output.paint(f"gapless: {error.message}", "red"))

    def report(self, report: dict[str, Any]) -> int:
        """Print the report of a release; return the exit code that it means."""
        if self._as_json:
            self._data(report)
            return DONE if report["outcome"] == "done" else FAILED
        with self._lock:
            return progress.show_report(report)

    def rollout(self, rollout: Rollout) -> None:
        """Print that a rollout has begun."""
        if self._as_json:
            self._data(fleets.as_data(rollout))

    def end(self, rollout: Rollout) -> None:
        """Print how a rollout ended."""
        with self._lock:
            fleets.tell_end(rollout, as_json=self._as_json)
            sys.stdout.flush()

    def _data(self, value: Any) -> None:
        with self._lock:
            output.as_json(value)
            sys.stdout.flush()
