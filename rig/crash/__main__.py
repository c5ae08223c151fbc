"""Run crash points by hand.

python -m rig.crash reload          count its effects
python -m rig.crash reload 17       die after the 17th
python -m rig.crash reload 17 30    and the next one after its 30th
python -m rig.crash reload all      every one of them, and what was wrong
python -m rig.crash reload all alone   the same, the command dies as well
python -m rig.crash all             count all
VICTIM=keeper python -m rig.crash reload all    the keeper dies after effects of its own
VICTIM=both python -m rig.crash reload all      both die after one of the supervisor
VICTIM=all python -m rig.crash reload all       and so does the guardian
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from rig.crash import point
from rig.crash.scenarios import BY_NAME, Scenario

VICTIM = os.environ.get("VICTIM", "supervisor")


def _all(scenario: Scenario, alone: bool) -> None:
    quiet = point.run(scenario, (0,), victim=VICTIM)
    if quiet.faults:
        print(f"{scenario.name}, undisturbed: {quiet}")

    def one(number: int) -> point.Result:
        return point.run(
            scenario,
            (number,),
            undisturbed=quiet.seen,
            waiting=not alone,
            victim=VICTIM,
        )

    numbers = range(1, len(quiet.effects) + 1)
    wrong = 0
    with ThreadPoolExecutor(3) as pool:
        for number, result in zip(numbers, pool.map(one, numbers), strict=True):
            if result.faults:
                wrong += 1
                took = f"{result.took_s:.1f} s"
                print(f"--- {scenario.name} {number} ({took}): {result}", flush=True)
    print(f"{scenario.name}: {wrong} of {len(numbers)} points are wrong", flush=True)


def main() -> None:
    """Run what the arguments say."""
    name, *numbers = sys.argv[1:]
    chosen = list(BY_NAME.values()) if name == "all" else [BY_NAME[name]]
    if numbers[:1] == ["all"]:
        for scenario in chosen:
            _all(scenario, alone=numbers[1:] == ["alone"])
        return
    deaths = tuple(map(int, numbers)) or (0,)
    for scenario in chosen:
        result = point.run(scenario, deaths, victim=VICTIM)
        if len(chosen) == 1:
            print("\n".join(result.effects))
            print(json.dumps(result.seen and result.seen.descriptors))
        print(
            f"{scenario.name}: {len(result.effects)}, {result.took_s:.1f} s, {result}"
        )


if __name__ == "__main__":
    main()
