"""An upload: its progress in one line of a terminal, its end, and its JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from gapless.base import clock
from gapless.cli import output
from gapless.cli.display import rollouts
from gapless.cli.terminal import outlet
from gapless.push.outcome import Outcome, Stage
from gapless.push.upload import Upload

SHOW_S = 0.2
"""The time between two updates of the line."""
BAR = 20
"""How wide the bar is."""


def progress_line(size_bytes: int, *, quiet: bool) -> Callable[[int], None]:
    """Return a function that prints how many bytes were sent; it prints nothing if *quiet*.

    Without a terminal it prints nothing either.
    """
    began = shown = clock.monotonic()
    is_shown = output.may_overwrite() and outlet.is_installed() and not quiet

    def show(sent_bytes: int) -> None:
        nonlocal shown
        now, is_last = clock.monotonic(), sent_bytes == size_bytes
        if not is_shown or (now - shown < SHOW_S and not is_last):
            return
        shown = now
        again = outlet.mark("rewrite")
        line = _progress(sent_bytes, size_bytes, now - began)
        # A line that went on into the next one could not be overwritten.
        line = line[: max(output.columns_here() - 1, 1)]
        sys.stdout.write(f"{again}{line}{again * is_last}")
        sys.stdout.flush()

    return show


def _progress(sent_bytes: int, size_bytes: int, took_s: float) -> str:
    """Return what stands in the line: a bar, bytes, their rate and the seconds left."""
    rate = sent_bytes / max(took_s, 0.001)
    filled = BAR * sent_bytes // max(size_bytes, 1)
    left = f", {(size_bytes - sent_bytes) / rate:.0f} s left" if sent_bytes else ""
    of = f"{output.size(sent_bytes)} of {output.size(size_bytes)}"
    bar = "#" * filled + "-" * (BAR - filled)
    return f"  [{bar}] {of}, {output.size(rate)}/s{left}"


def print_end(outcome: Outcome, print_line: Callable[[str], None]) -> None:
    """Print where the report is, and what to do if the rollout waits for people."""
    if outcome.report:
        print_line(f"  report on the release server: {outcome.report}")
    if outcome.stage in (Stage.HELD, Stage.STUCK):
        print_line(f"  on the release server: {rollouts.ways_on(outcome.app)}")


def upload_json(
    app: str, to: str, upload: Upload, left_out: list[str], outcome: Outcome | None
) -> dict[str, Any]:
    """Return an upload, and its outcome if it was waited for, as a JSON object."""
    return {
        "app": app,
        "to": to,
        "upload": upload.name,
        "size_bytes": upload.size_bytes,
        "sha256": upload.sha256,
        "signed": bool(upload.signature),
        "left_out": left_out,
        "outcome": None
        if outcome is None
        else asdict(outcome) | {"stage": outcome.stage.value},
    }
