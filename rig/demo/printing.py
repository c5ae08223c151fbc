"""What a demo prints: commands with their output, and a table of what clients got."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from rig.hosts.host import Host
from rig.load import engine


def show(line: Any) -> None:
    """Print a line at once, so that progress is seen."""
    print(line, flush=True)


def run_command(host: Host, *words: str) -> tuple[int, float]:
    """Run a gapless command with its output shown; return its code and its seconds."""
    show(f"\n$ gapless {' '.join(words)}")
    began = time.monotonic()
    process = host.begin(*words)
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            show(f"  {line.rstrip()}")
    return process.wait(), time.monotonic() - began


def show_reports(reports: Mapping[str, engine.Report]) -> int:
    """Print a table of the loads, by app; return how many requests were lost."""
    show("\n== what the clients saw")
    width = max(len(app) for app in reports) + 2
    heads = f"{'requests':>9}{'lost':>6}{'p50 ms':>9}{'p99 ms':>9}"
    show(f"{'app':<{width}}{'traffic':<12}{heads}")
    for app, report in reports.items():
        for kind, row in report.kinds.items():
            show(
                f"{app:<{width}}{kind:<12}{row['requests']:>9.0f}{row['lost']:>6.0f}"
                f"{row['p50_ms']:>9.1f}{row['p99_ms']:>9.1f}"
            )
        for loss in report.losses[:5]:
            show(f"  lost: {json.dumps(loss)}")
    return sum(report.lost for report in reports.values())
