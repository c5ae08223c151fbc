"""How long does nobody control the apps, in an upgrade and after a crash?

`upgrade.py [APPS...]`: with so many apps; 4 and 100 unless said otherwise.  Nothing is
asked of the apps meanwhile: connections do not pass through gapless.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rig.hosts import control
from rig.hosts.host import APPS, Host, temporary_host
from rig.hosts.usage import resident_mb
from rig.sigterm import clean_up_at_sigterm
from rig.wait import free_port, until

PROGRAM = [sys.executable, "-I", "-S", str(APPS / "tiny.py")]
TIMES = 7
START_S = 300


def started(host: Host, count: int) -> None:
    """Start so many small apps."""
    lines = []
    for number in range(count):
        lines += [
            f"[app.a{number:03}]",
            f"command = {json.dumps(PROGRAM)}",
            f'environment = {{ PORT = "{free_port()}", RELEASE = "1" }}',
            "min_healthy_s = 0.1",
        ]
    host.configure("\n".join(lines) + "\n")
    host.ok("start", "gapless.toml")
    until(lambda: _ready(host) == count, f"{count} apps", START_S)


def _ready(host: Host) -> int:
    rows = control.ask(host.home, "list")["apps"]
    return sum(row["instances"]["ready"] for row in rows)


def upgrades_ms(host: Host) -> tuple[list[float], list[float]]:
    """Upgrade some times; return how long nobody answered, and each command as a whole."""
    silent, whole = [], []
    for _ in range(TIMES):
        began = time.monotonic()
        report = json.loads(host.ok("upgrade", "--json"))
        whole.append((time.monotonic() - began) * 1000)
        silent.append(float(report["without_control_ms"]))
    return silent, whole


def adoptions_ms(host: Host) -> list[float]:
    """Kill the supervisor some times; return how long the next command took more."""
    found = []
    for _ in range(TIMES):
        usual = _command_ms(host)
        os.kill(host.supervisor_pid(), signal.SIGKILL)
        found.append(_command_ms(host) - usual)
    return found


def _command_ms(host: Host) -> float:
    began = time.monotonic()
    host.ok("list")
    return (time.monotonic() - began) * 1000


def row(name: str, found: list[float]) -> None:
    """Print one line of the table."""
    print(f"  {name:<44}{statistics.median(found):>8.0f}{max(found):>8.0f}")


def main() -> None:
    """Print a table for each number of apps."""
    for count in map(int, sys.argv[1:] or ("4", "100")):
        with temporary_host() as host:
            started(host, count)
            silent, whole = upgrades_ms(host)
            print(f"{count} apps, milliseconds{'':<24}  median     max")
            row("upgrade: nobody answers a command", silent)
            row("upgrade: the command as a whole", whole)
            row("crash: what the next command takes more", adoptions_ms(host))
            pids = host.supervisor_pid(), host.keeper_pid()
            sizes = " and ".join(f"{resident_mb(pid):.1f}" for pid in pids)
            print(f"  supervisor and keeper have {sizes} MB then")


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
