"""In a machine: a load on a port until a file is there; then what became of it, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rig import wait
from rig.load import engine
from rig.load.process import run_load

LONGEST_S = 1800.0


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
