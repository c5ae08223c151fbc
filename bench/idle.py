"""What does the supervisor cost when nothing happens, and how fast is `list`?"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rig.hosts.host import GAPLESS, Host, temporary_host
from rig.hosts.usage import resident_mb, wakeups
from rig.sigterm import clean_up_at_sigterm
from rig.wait import free_port

OURS = ("supervisor", "keeper", "guardian")
IDLE_S = 10.0
RUNS = 15


def took_ms(command: list[str], host: Host) -> list[float]:
    """Return the milliseconds that a command takes, in several runs, sorted."""
    times = []
    for _ in range(RUNS):
        began = time.monotonic()
        subprocess.run(
            command, env=host.environment, stdout=subprocess.DEVNULL, check=True
        )
        times.append((time.monotonic() - began) * 1e3)
    return sorted(times)


def main() -> None:
    """Print the table."""
    with temporary_host("gapless-bench-") as host:
        for name in ("one", "two", "three", "four"):
            host.start(name, ["node", "app.js"], port=free_port())
            host.ok("restart", name)
        pids = dict(zip(OURS, host.own_pids(), strict=True))
        time.sleep(1)
        before = {name: wakeups(pid) for name, pid in pids.items()}
        time.sleep(IDLE_S)
        after = {name: wakeups(pid) for name, pid in pids.items()}
        print(f"{'process':<12}{'RSS MB':>8}{f'wake-ups in {IDLE_S:g} s':>20}")
        for name, pid in pids.items():
            count = after[name] - before[name]
            print(f"{name:<12}{resident_mb(pid):>8.1f}{count:>20}")
        both = sum(resident_mb(pids[name]) for name in OURS[:2])
        print(f"supervisor and keeper: {both:.1f} MB, goal 32 MB")
        listed = took_ms([str(GAPLESS), "list"], host)
        bare = took_ms([sys.executable, "-c", "pass"], host)
        print(f"\n{'command':<16}{'median ms':>10}{'max ms':>10}")
        for name, times in (("gapless list", listed), ("python -c pass", bare)):
            print(f"{name:<16}{times[RUNS // 2]:>10.1f}{times[-1]:>10.1f}")


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
