"""What a demo shows: commands with what they print, and a table of what clients saw."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from rig.hosts.host import Host
from rig.load import engine


def say(line: Any) -> None:
    """Print now, so that progress is live."""
    print(line, flush=True)


def command(host: Host, *words: str) -> tuple[int, float]:
    """Run a gapless command on a host, shown; return its code and how long it took."""
    say(f"\n$ gapless {' '.join(words)}")
    began = time.monotonic()
    process = host.begin(*words)
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            say(f"  {line.rstrip()}")
    return process.wait(), time.monotonic() - began


def table(reports: Mapping[str, engine.Report]) -> int:
    """Print what the clients of each app saw; return how many requests were lost."""
    say("\n== what the clients saw")
    width = max(len(app) for app in reports) + 2
    heads = f"{'requests':>9}{'lost':>6}{'p50 ms':>9}{'p99 ms':>9}"
    say(f"{'app':<{width}}{'traffic':<12}{heads}")
    for app, report in reports.items():
        for kind, row in report.kinds.items():
            say(
                f"{app:<{width}}{kind:<12}{row['requests']:>9.0f}{row['lost']:>6.0f}"
                f"{row['p50_ms']:>9.1f}{row['p99_ms']:>9.1f}"
            )
        for loss in report.losses[:5]:
            say(f"  lost: {json.dumps(loss)}")
    return sum(report.lost for report in reports.values())
