"""The second part of the demo: four hosts, and releases that are good, broken and sick.

Each host has a network namespace where that is allowed, else a port of loopback.  nginx is
in front of them if it is installed, else each host gets a load of its own.
"""

from __future__ import annotations

import collections
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rig.demo.printing import run_command, show, show_reports
from rig.fleets.balancer import run_balancer
from rig.fleets.fleet import APP, Fleet
from rig.load import engine
from rig.load.process import Load, run_load

POLICY = 'slots = 1\ncanary = ["s2"]\nbake_s = 3\nhealth = "/health"'
RELEASES = (
    ("2", 0, "2", "a good release: the canary first, then one host after the other"),
    ("3 broken", 1, "2", "a broken one: the canary refuses it, no other host begins"),
    ("4 sick 2", 1, "2", "one that fails two seconds later: turned back by itself"),
    ("5", 0, "5", "the next good one"),
)
"""A version, the exit code to expect, the version that serves then, and what it shows."""


class FleetDemo:
    """One run, and what was not as expected."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.surprises: list[str] = []

    def run(self) -> int:
        """Show everything; return the exit code."""
        fleet = self.fleet
        where = "network namespaces" if fleet.network.is_real else "ports of loopback"
        show(f"\n\n== a fleet: 4 hosts in {where}, one release server, one directory")
        fleet.start()
        with ExitStack() as stack:
            loads = self._loads(stack)
            for load in loads.values():
                load.wait_for_version("1")
            for version, code, serves, why in RELEASES:
                show(f"\n-- {why}")
                self._publish(version, code, serves)
                for load in loads.values():
                    load.wait_for(20)
            run_command(fleet.publisher, "rollout", "history", APP)
            reports = {name: load.stop() for name, load in loads.items()}
        lost = show_reports(reports)
        doubled = self._doubled()
        sent = sum(report.requests for report in reports.values())
        show(f"\n{sent} requests to the fleet, {lost} lost, {doubled} POSTs done twice")
        for surprise in self.surprises:
            show(f"surprise: {surprise}")
        return 1 if lost or doubled or self.surprises else 0

    def _publish(self, version: str, expected_code: int, serves: str) -> None:
        tarball = str(self.fleet.tarball(version))
        code, _ = run_command(self.fleet.publisher, "publish", tarball)
        if code != expected_code:
            self.surprises.append(f"publish {version} ended with code {code}")
        if set(self.fleet.runs().values()) != {serves}:
            self.surprises.append(f"{self.fleet.runs()} serves instead of {serves}")

    def _loads(self, stack: ExitStack) -> dict[str, Load]:
        if shutil.which("nginx", path="/usr/sbin:/usr/bin"):
            show(
                "strict load goes through nginx, as `gapless balancer nginx` writes it"
            )
            port = stack.enter_context(run_balancer(self.fleet, "nginx"))
            load = run_load(port, *engine.mixed(), seconds=170)
            return {"fleet": stack.enter_context(load)}
        show("nginx is not installed: each host has a strict load of its own")
        return {
            member.name: stack.enter_context(
                run_load(member.port, *engine.mixed(), host=member.address, seconds=170)
            )
            for member in self.fleet.members
        }

    def _doubled(self) -> int:
        counts = collections.Counter(self.fleet.ledger.read_text().split())
        return sum(times - 1 for times in counts.values())


def main() -> int:
    """Run the demo in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="gapless-demo-") as directory:
        fleet = Fleet(Path(directory), policy=POLICY)
        try:
            return FleetDemo(fleet).run()
        finally:
            fleet.close()
