"""The strict load client: it numbers every request, and sends each once.

Rule 1: each request is sent once.  What becomes of it is its fate; every fate is counted.
Rule 2: only a complete, expected answer is `answered`; all other fates are losses.
Rule 3: load is bounded in time and count, and goes to this machine only.

    python -m rig.load.engine --port 8000 --seconds 5 --new 4 --post 2

runs it from a shell; tests use `rig.load.process`.  One thread and one selector drive all
connections.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import selectors
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from rig.load.client import Client, Target
from rig.load.fates import ANSWERED
from rig.load.ledger import Ledger
from rig.load.report import Report, Request
from rig.load.traffic import (
    KEEP_ALIVE,
    NEW,
    POST,
    SLOW,
    SLOW_BODY,
    Traffic,
    mixed,
)

__all__ = [
    "ANSWERED",
    "KEEP_ALIVE",
    "NEW",
    "POST",
    "SLOW",
    "SLOW_BODY",
    "Engine",
    "Report",
    "Request",
    "Traffic",
    "mixed",
]

MOST_SECONDS, MOST_REQUESTS = 3600.0, 5_000_000


class Engine:
    """Drives all clients of a load."""

    def __init__(
        self,
        host: str,
        port: int,
        traffics: tuple[Traffic, ...],
        *,
        seconds: float,
        requests: int = MOST_REQUESTS,
        ledger: Path | None = None,
    ) -> None:
        """*ledger* is a file that gets a line of JSON for each request that has ended."""
        _refuse_other_machines(host)
        self.selector = selectors.DefaultSelector()
        self.ledger = Ledger(ledger)
        target = Target(host=host, port=port, selector=self.selector)
        self.clients = [
            Client(target, self.ledger, traffic, number)
            for number, traffic in enumerate(
                traffic for traffic in traffics for _ in range(traffic.concurrency)
            )
        ]
        self._until = time.monotonic() + min(seconds, MOST_SECONDS)
        self._most = min(requests, MOST_REQUESTS)
        self.stopping = False

    def run(self, between: Callable[[], None] | None = None) -> None:
        """Send until the time or the count is up, then finish what is in flight.

        *between* is called after each wait, which takes 0.25 s at most.
        """
        while True:
            now = time.monotonic()
            going_on = (
                not self.stopping
                and now < self._until
                and self.ledger.sent < self._most
            )
            waits = [0.25]
            busy = False
            for client in self.clients:
                if client.request is not None:
                    busy = True
                    if client.ends_overdue(now):
                        continue
                    waits.append(client.request.began + client.traffic.timeout_s - now)
                    if client.body_sent < len(client.body):
                        waits.append(0.01)
                        client.ready()
                elif going_on and now >= client.resume_at:
                    client.begin(now)
                    waits.append(0.0)
                elif going_on:
                    waits.append(client.resume_at - now)
            if not going_on and not busy:
                break
            for selected, _ in self.selector.select(max(0.0, min(waits))):
                selected.data.ready()
            if between is not None:
                between()
        for client in self.clients:
            client.hang_up()
        self.selector.close()
        self.ledger.close()

    def report(self) -> Report:
        """Return the sums; every request that was sent is in them exactly once."""
        kinds = dict.fromkeys(client.traffic.kind for client in self.clients)
        return self.ledger.report(tuple(kinds))


def _refuse_other_machines(host: str) -> None:
    address = ipaddress.ip_address(host)
    ours = ipaddress.ip_network("10.0.0.0/8")  # the rig's own network namespaces
    if not address.is_loopback and not (address.version == 4 and address in ours):
        raise ValueError(f"load goes to this machine only, not to {host}")


def main(arguments: list[str] | None = None) -> int:
    """Run a load from the command line; exit code 1 if a request was lost."""
    parser = argparse.ArgumentParser(prog="rig.load.engine", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--new", type=int, default=4, metavar="CLIENTS")
    parser.add_argument("--keep-alive", type=int, default=0, metavar="CLIENTS")
    parser.add_argument("--post", type=int, default=0, metavar="CLIENTS")
    parser.add_argument("--slow", type=int, default=0, metavar="CLIENTS")
    parser.add_argument("--path", default="/")
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ledger", type=Path, help="a line of JSON for each request")
    options = parser.parse_args(arguments)
    wanted = (
        (NEW, options.new, options.path),
        (KEEP_ALIVE, options.keep_alive, options.path),
        (POST, options.post, POST.path),
        (SLOW, options.slow, SLOW.path),
    )
    traffics = tuple(
        replace(traffic, concurrency=clients, path=path, pause_s=options.pause)
        for traffic, clients, path in wanted
        if clients
    )
    engine = Engine(
        options.host,
        options.port,
        traffics,
        seconds=options.seconds,
        ledger=options.ledger,
    )
    engine.run()
    report = engine.report()
    if options.json:
        print(json.dumps(asdict(report) | {"lost": report.lost}))
    else:
        print(report)
    return 1 if report.lost else 0


if __name__ == "__main__":
    sys.exit(main())
