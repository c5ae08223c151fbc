"""What `gapless watch` prints: whole lines, from any thread."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from gapless.base.errors import GaplessError
from gapless.base.outside.text import printable
from gapless.cli import output
from gapless.cli.display import reports, rollouts, steps
from gapless.rollout.model import HostReport, Rollout


class WatchOutput:
    """Prints text, or JSON for programs."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json, self._lock = as_json, threading.Lock()

    def line(self, text: str) -> None:
        """Print a line; with --json on standard error: programs read standard output."""
        with self._lock, _unread():
            print(text, file=sys.stderr if self._as_json else sys.stdout, flush=True)

    def trouble(self, app: str, text: str, details: str = "") -> None:
        """Print an error that does not end the watch; *details* stand below it."""
        about = "" if text.startswith(f"{app}: ") else f"{app}: "
        shown = printable(f"{about}{text}", kept="\n")
        self.line(output.paint(f"gapless: {shown}", "red"))
        if details:
            self.line(printable(details.rstrip(), kept="\n"))

    def fleet_step(self, app: str, step: str, detail: str) -> None:
        """Print a step of a publish to a fleet."""
        if not self._as_json and (text := steps.line(app, step, detail)):
            self.line(text)

    def host_step(self, event: dict[str, Any]) -> None:
        """Print a step of a publish on this host."""
        if not self._as_json:
            with self._lock, _unread():
                steps.print_step(event)

    def error(self, error: GaplessError) -> None:
        """Print why an upload was not published."""
        if self._as_json:
            self._json({"error": error.describe()})
        else:
            shown = printable(error.message, kept="\n")
            hint = f"\nhint: {printable(error.hint)}" if error.hint else ""
            self.line(output.paint(f"gapless: {shown}", "red") + hint)

    def report(self, report: dict[str, Any]) -> int:
        """Print the report of a release; return the exit code that it means."""
        if self._as_json:
            self._json(report)
            return reports.exit_code(report)
        code = reports.exit_code(report)
        with self._lock, _unread():
            code = reports.print_report(report)
        return code  # noqa: RET504 - the first one, if nobody reads

    def rollout(self, rollout: Rollout) -> None:
        """Print the JSON of a rollout that has begun; its text is a step."""
        if self._as_json:
            self._json(rollouts.rollout_json(rollout))

    def end(self, rollout: Rollout, hosts: dict[str, HostReport]) -> None:
        """Print how a rollout ended."""
        reports = None if self._as_json else hosts
        with self._lock, _unread():
            rollouts.print_end(rollout, as_json=self._as_json, reports=reports)

    def _json(self, value: Any) -> None:
        with self._lock, _unread():
            output.print_json(value)


@contextlib.contextmanager
def _unread() -> Iterator[None]:
    """Go on when nobody reads, or can read, what is printed: that is no reason to end."""
    try:
        yield
    except BrokenPipeError:
        # Python's flush at exit would change the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except (OSError, UnicodeError):
        return
