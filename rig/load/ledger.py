"""The ledger of a load: every request, and what became of it."""

from __future__ import annotations

import collections
import json
from dataclasses import asdict
from pathlib import Path

from rig.load.fates import ANSWERED
from rig.load.report import Report, Request


class Ledger:
    """Numbers the requests, and keeps each of them."""

    def __init__(self, path: Path | None) -> None:
        """*path* is a file that gets a line of JSON for each request, if any."""
        self.sent = 0
        self.requests: list[Request] = []
        self.versions: collections.Counter[str] = collections.Counter()
        self._file = path.open("w", 1, encoding="ascii") if path else None

    def next_number(self) -> int:
        """Return the number of the next request."""
        self.sent += 1
        return self.sent

    def note(self, request: Request) -> None:
        """Keep a request that has ended."""
        self.requests.append(request)
        if request.fate == ANSWERED:
            self.versions[request.version] += 1
        if self._file is not None:
            self._file.write(json.dumps(asdict(request)) + "\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def report(self, kinds: tuple[str, ...]) -> Report:
        """Return the sums; every request that was sent is in them exactly once."""
        assert len(self.requests) == self.sent
        report = Report(requests=self.sent)
        report.fates = dict(collections.Counter(r.fate for r in self.requests))
        report.versions = dict(self.versions)
        report.instances = dict(collections.Counter(r.instance for r in self.requests))
        report.losses = [asdict(r) for r in self.requests if r.fate != ANSWERED][:20]
        for kind in kinds:
            own = [r for r in self.requests if r.kind == kind]
            took = sorted((r.ended - r.began) * 1e3 for r in own if r.fate == ANSWERED)
            report.kinds[kind] = {
                "requests": len(own),
                "lost": sum(r.fate != ANSWERED for r in own),
                "p50_ms": took[len(took) // 2] if took else 0.0,
                "p99_ms": took[int(len(took) * 0.99)] if took else 0.0,
                "max_ms": took[-1] if took else 0.0,
                "connections": sum(not r.reused for r in own),
                "closed_idle": sum(r.closed_idle for r in own),
            }
        return report
