"""How often do 200 idle agents ask one etcd: at most one question a host in 10 s?

    .venv/bin/python bench/agents.py [--agents 200] [--seconds 60]

The counts are metrics of etcd itself; watches are counted apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rig.fleets.idle_agents import idle_agents
from rig.hosts.usage import resident_mb
from rig.sigterm import clean_up_at_sigterm


def main() -> None:
    """Run the agents, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="gapless-bench-") as directory,
        idle_agents(Path(directory), options.agents) as agents,
    ):
        before, began = agents.counts(), time.monotonic()
        time.sleep(options.seconds)
        after, took_s = agents.counts(), time.monotonic() - began
        memory_mb = sum(resident_mb(pid) for pid in agents.pids())
    questions = after.questions - before.questions
    tens = took_s / 10
    print(
        f"{'agents':>7}{'seconds':>9}{'questions':>11}{'watches':>9}{'a host in 10 s':>16}"
    )
    print(
        f"{options.agents:>7}{took_s:>9.1f}{questions:>11}"
        f"{after.watches - before.watches:>9}{questions / options.agents / tens:>16.2f}"
    )
    print(f"{memory_mb / options.agents:.1f} MB resident an agent")


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
