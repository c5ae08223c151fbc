"""In a machine: a load on a port until a file is there; then what became of it, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rig import wait
from rig.load import engine
from rig.load.process import run_load
from rig.vm.machine import Command, Machine
from rig.vm.tree import CHECKOUT

LONGEST_S = 1800.0
SETTINGS = {
    # Emulation is that much slower; and the load leaves something to the servers.
    "RIG_SLOWER": "8",
    "RIG_PACE_S": "0.1",
}


class MachineLoad:
    """A load that runs in a machine, on its port 8080."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine, self._over = machine, f"/tmp/over-{name}"
        self._command: Command = machine.begin(
            *(".venv/bin/python", "-m", "rig.vm.load", "8080", self._over),
            directory=f"/{CHECKOUT}",
            environment=SETTINGS,
        )

    def wait_for_answers(self, timeout_s: float) -> None:
        """Wait until the first requests are answered.  Raises AssertionError."""
        wait.until(self._command.has_written, "answers", timeout_s)

    def stop(self) -> dict[str, Any]:
        """End it; return how many requests were lost, and which versions answered."""
        self._machine.ok("touch", self._over)
        found: dict[str, Any] = json.loads(self._command.wait().output.splitlines()[-1])
        return found


def main(port: int, over: Path) -> None:
    """Load the port; say when the first requests are answered."""
    with run_load(port, engine.NEW, engine.POST, seconds=LONGEST_S) as load:
        load.wait_for(20)
        sys.stdout.write("answered\n")
        sys.stdout.flush()
        wait.until(over.exists, f"{over}", LONGEST_S)
        report = load.stop()
    found = {"lost": report.lost, "versions": report.versions, "report": str(report)}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
