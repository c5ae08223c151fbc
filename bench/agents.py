"""What 200 real agents at rest ask of one etcd: at most one question a host in 10 s?

    .venv/bin/python bench/agents.py [--agents 200] [--seconds 60]

etcd counts the questions (its own metrics), watches apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rig.hosts.agents import at_rest


def main() -> None:
    """Run them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="gapless-bench-") as directory,
        at_rest(Path(directory), asked.agents) as agents,
    ):
        before, began = agents.asked(), time.monotonic()
        time.sleep(asked.seconds)
        after, took_s = agents.asked(), time.monotonic() - began
        memory_mb = sum(_resident_mb(each.pid) for each in agents.processes)
    questions = after.questions - before.questions
    tens = took_s / 10
    print(
        f"{'agents':>7}{'seconds':>9}{'questions':>11}{'watches':>9}{'a host in 10 s':>16}"
    )
    print(
        f"{asked.agents:>7}{took_s:>9.1f}{questions:>11}"
        f"{after.watches - before.watches:>9}{questions / asked.agents / tens:>16.2f}"
    )
    print(f"{memory_mb / asked.agents:.1f} MB resident an agent")


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)


if __name__ == "__main__":
    main()
