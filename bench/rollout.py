"""How long does a rollout take, by its slots, without and with faults?

The product's own decisions, board and slots run over simulated hosts, and time is a number:
a change takes 2 to 20 s, each host is watched for 10 s.  With faults 2 % of the turns meet
one: three hosts in ten of those die while they hold a slot, the others are away for 3 s to
5 minutes.  Where 5,000 hosts would take days to compute there are fewer; the result depends
on the number of hosts for each slot.  "At once" counts hosts that had switched and were
still watched; they also hold slots while they fetch and start.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from gapless.rollout.model import State
from gapless.rollout.policy import Policy
from rig.sigterm import clean_up_at_sigterm
from rig.simulation import Simulation

ROWS = (("1", 50), ("5", 250), ("50", 1000), ("5%", 5000), ("25%", 1000))
FAULTS = (0.0, 0.02)
SEED = 1


def rollout(slots: str, hosts: int, fault: float) -> tuple[float, int, float]:
    """Return its seconds, the most hosts that acted at once, and the seconds to compute."""
    simulation = Simulation(SEED, hosts, Policy(slots=slots, min_healthy_s=10), fault)
    began = time.monotonic()
    ended = simulation.run()
    assert ended.state is State.DONE, ended
    return simulation.now, simulation.most_acting, time.monotonic() - began


def shown(seconds: float) -> str:
    """Return a time in minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def main() -> None:
    """Print the table."""
    print(
        f"{'slots':>6}{'hosts':>7}{'no faults':>11}{'at once':>9}"
        f"{'2 % faults':>12}{'at once':>9}{'computed':>10}"
    )
    for slots, hosts in ROWS:
        found = [rollout(slots, hosts, fault) for fault in FAULTS]
        cells = f"{shown(found[0][0]):>11}{found[0][1]:>9}"
        cells += f"{shown(found[1][0]):>12}{found[1][1]:>9}"
        computed = f"{sum(each[2] for each in found):.0f} s"
        print(f"{slots:>6}{hosts:>7}{cells}{computed:>10}", flush=True)


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
