"""The second act of the demo: four hosts, and releases that are good, broken and sick.

Each host has a network namespace of its own where that is permitted, else a port of
loopback; nginx is in front if it is installed, else each host has a load of its own.
"""

from __future__ import annotations

import collections
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rig.demo import shown
from rig.demo.shown import say
from rig.hosts.fleet import (
    APP,
    Fleet,
    balanced,
)
from rig.load import engine
from rig.load.running import Running, running

POLICY = 'slots = 1\ncanary = ["s2"]\nbake_s = 3\nhealth = "/health"'
RELEASES = (
    ("2", 0, "2", "a good release: the canary first, then one host after the other"),
    ("3 broken", 1, "2", "a broken one: the canary refuses it, no other host begins"),
    ("4 sick 2", 1, "2", "one that fails two seconds later: turned back by itself"),
    ("5", 0, "5", "the next good one"),
)
"""What is released, the code to be expected, what serves then, and what it shows."""


class Act:
    """One fleet, and what went otherwise than it had to."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.surprises: list[str] = []

    def run(self) -> int:
        """Show it; return the exit code."""
        fleet = self.fleet
        where = "network namespaces" if fleet.network.is_real else "ports of loopback"
        say(f"\n\n== a fleet: 4 hosts in {where}, one release server, one directory")
        fleet.start()
        with ExitStack() as stack:
            loads = self._loads(stack)
            for each in loads.values():
                each.wait_for_version("1")
            for version, code, serves, why in RELEASES:
                say(f"\n-- {why}")
                tarball = str(fleet.tarball(version))
                found, _ = shown.command(fleet.publisher, "publish", tarball)
                if found != code:
                    self.surprises.append(f"publish {version} ended with code {found}")
                if set(fleet.runs().values()) != {serves}:
                    self.surprises.append(
                        f"{fleet.runs()} serves where {serves} had to"
                    )
                for each in loads.values():
                    each.wait_for(20)
            shown.command(fleet.publisher, "rollout", "history", APP)
            reports = {name: each.stop() for name, each in loads.items()}
        lost = shown.table(reports)
        doubled = self._doubled()
        sent = sum(report.requests for report in reports.values())
        say(f"\n{sent} requests to the fleet, {lost} lost, {doubled} POSTs done twice")
        for surprise in self.surprises:
            say(f"surprise: {surprise}")
        return 1 if lost or doubled or self.surprises else 0

    def _loads(self, stack: ExitStack) -> dict[str, Running]:
        if shutil.which("nginx", path="/usr/sbin:/usr/bin"):
            say("strict load goes through nginx, as `gapless balancer nginx` writes it")
            port = stack.enter_context(balanced(self.fleet, "nginx"))
            return {
                "fleet": stack.enter_context(
                    running(port, *engine.mixed(), seconds=170)
                )
            }
        say("nginx is not installed: each host has a strict load of its own")
        return {
            member.name: stack.enter_context(
                running(member.port, *engine.mixed(), host=member.address, seconds=170)
            )
            for member in self.fleet.members
        }

    def _doubled(self) -> int:
        counts = collections.Counter(self.fleet.ledger.read_text().split())
        return sum(times - 1 for times in counts.values())


def main() -> int:
    """Run the act in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="gapless-demo-") as directory:
        fleet = Fleet(Path(directory), policy=POLICY)
        try:
            return Act(fleet).run()
        finally:
            fleet.close()
