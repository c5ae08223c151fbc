"""Run crash points of publishers by hand.

python -m rig.crash.publisher rollback        list its effects
python -m rig.crash.publisher rollback 17     die after the 17th
python -m rig.crash.publisher rollback all    every one of them, and what was wrong
"""

from __future__ import annotations

import sys

from rig.crash.publisher.scenarios import SCENARIOS, Begin, play
from rig.crash.publisher.site import Site
from rig.hosts.host import temporary_host
from rig.load.process import run_load
from rig.load.traffic import Traffic
from rig.sigterm import clean_up_at_sigterm

LOAD = Traffic(kind="new", concurrency=2, pause_s=0.02)


def main() -> None:
    """Run what the arguments say."""
    name, *numbers = sys.argv[1:]
    for begin in SCENARIOS:
        if name in (begin.__name__, "all"):
            _run(begin, numbers)


def _run(begin: Begin, numbers: list[str]) -> None:
    with temporary_host() as host:
        site = Site(host, releases=3)
        with run_load(site.port, LOAD, seconds=3600) as load:
            quiet = play(site, begin, 0)
            print(*quiet.effects, *quiet.faults, sep="\n")
            points = [*map(int, numbers)] if numbers != ["all"] else range(1, 999)
            wrong = 0
            for number in points:
                found = play(site, begin, number)
                if not found.died:
                    break
                if found.faults:
                    wrong += 1
                    print(
                        f"--- {begin.__name__} {found.effects[-1]}",
                        *found.faults,
                        sep="\n  ",
                        flush=True,
                    )
            print(f"{begin.__name__}: {len(quiet.effects)} effects, {wrong} wrong")
            print(f"lost: {load.stop().lost}", flush=True)


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
