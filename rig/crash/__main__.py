"""Run crash points by hand.

    python -m rig.crash reload          count its effects
    python -m rig.crash reload 17       die after the 17th
    python -m rig.crash reload 17 30    and the next one after its 30th
    python -m rig.crash reload all      every one of them, and what was wrong
    python -m rig.crash all             count all
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from rig.crash import point
from rig.crash.scenarios import BY_NAME, Scenario


def _all(scenario: Scenario) -> None:
    quiet = point.run(scenario, (0,))
    print(f"{scenario.name}: {len(quiet.effects)} {quiet}")

    def one(number: int) -> tuple[int, bool, point.Result]:
        waiting = number % 2 == 0 or scenario.name != "x"
        return (
            number,
            waiting,
            point.run(scenario, (number,), undisturbed=quiet.seen, waiting=waiting),
        )

    wrong = 0
    with ThreadPoolExecutor(3) as pool:
        for number, _, result in pool.map(one, range(1, len(quiet.effects) + 1)):
            if result.faults or not result.deaths:
                wrong += 1
                print(f"--- {scenario.name} {number} ({result.took_s:.1f} s): {result}")
                sys.stdout.flush()
    print(f"{scenario.name}: {wrong} of {len(quiet.effects)} points are wrong")


def main() -> None:
    """Run what the arguments say."""
    name, *numbers = sys.argv[1:]
    chosen = list(BY_NAME.values()) if name == "all" else [BY_NAME[name]]
    if numbers == ["all"]:
        for scenario in chosen:
            _all(scenario)
        return
    deaths = tuple(map(int, numbers)) or (0,)
    for scenario in chosen:
        result = point.run(scenario, deaths)
        if len(chosen) == 1:
            print("\n".join(result.effects))
            print(json.dumps(result.seen and result.seen.descriptors))
        print(f"{scenario.name}: {len(result.effects)}, {result.took_s:.1f} s, {result}")


if __name__ == "__main__":
    main()
