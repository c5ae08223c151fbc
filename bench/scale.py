"""How does gapless grow with the number of apps?  Beside PM2, and the same processes bare.

`scale.py [APPS]`: so many apps of two instances each; 200 unless said otherwise.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rig.hosts.host import APPS, GAPLESS, ROOT, Host, temporary_host
from rig.hosts.usage import processor_s, resident_mb, wakeups
from rig.sigterm import clean_up_at_sigterm
from rig.wait import answers, free_port, until

PM2 = ROOT / "node" / "gapless-drain" / "node_modules" / ".bin" / "pm2"
PROGRAM = [sys.executable, str(APPS / "small.py")]
START_CPU_S = "0.04"
"""What each process uses before it listens, on any machine."""
INSTANCES = 2
LISTS = 9
RELOADS = 3
FEW = 4
IDLE_S = 5.0
WRITTEN_S = 1.5
"""After so long without a wake-up all that it had to write has been written."""
LONG_S = 300


def configuration(ports: list[int]) -> str:
    """Return a file with one app for each port."""
    return "".join(
        f"[app.a{number:03}]\n"
        f"command = {json.dumps(PROGRAM)}\n"
        f'environment = {{ PORT = "{port}", START_CPU_S = "{START_CPU_S}" }}\n'
        f"instances = {INSTANCES}\n"
        "min_healthy_s = 0.5\n\n"
        for number, port in enumerate(ports)
    )


def ecosystem(ports: list[int]) -> str:
    """Return the same for PM2; instances of one app cannot share a port there."""
    apps = [
        {
            "name": f"a{number:03}",
            "script": PROGRAM[1],
            "interpreter": PROGRAM[0],
            "env": {"PORT": str(port), "START_CPU_S": START_CPU_S},
        }
        for number, port in enumerate(ports)
    ]
    return json.dumps({"apps": apps})


def took_s(command: list[str], environment: dict[str, str], directory: Path) -> float:
    """Return the seconds that a command takes; it has to succeed."""
    began = time.monotonic()
    done = subprocess.run(
        command,
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return time.monotonic() - began


@contextmanager
def bare(ports: list[int], directory: Path) -> Iterator[float]:
    """Start the processes with nothing above them; yield how long they took."""
    began = time.monotonic()
    started = [
        subprocess.Popen(
            PROGRAM,
            env=os.environ | {"PORT": str(port), "START_CPU_S": START_CPU_S},
            cwd=directory,
            stdout=subprocess.DEVNULL,
        )
        for port in ports
    ]
    try:
        for port in ports:
            until(partial(answers, port), f"port {port}", LONG_S)
        yield time.monotonic() - began
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait()


def wakeups_in(pids: Sequence[int], seconds: float) -> int:
    """Return how often processes wake up in a time."""
    before = sum(map(wakeups, pids))
    time.sleep(seconds)
    return sum(map(wakeups, pids)) - before


def measured_list_s(host: Host) -> list[float]:
    """Return the seconds of several listings, sorted."""
    command = [str(GAPLESS), "list", "--json"]
    return sorted(
        took_s(command, host.environment, host.directory) for _ in range(LISTS)
    )


class Table:
    """What was measured, line by line."""

    def __init__(self) -> None:
        print(f"{'':<44}{'gapless':>10}{'PM2':>10}{'bare':>10}{'goal':>10}")

    def row(
        self, name: str, own: str, pm2: str = "", bare: str = "", goal: str = ""
    ) -> None:
        """Print one line."""
        print(f"{name:<44}{own:>10}{pm2:>10}{bare:>10}{goal:>10}", flush=True)


class OwnProcesses:
    """The processor time of our two processes."""

    def __init__(self, host: Host) -> None:
        self.pids = host.supervisor_pid(), host.keeper_pid()
        self._before = self._now()

    def _now(self) -> list[float]:
        return [processor_s(pid) for pid in self.pids]

    def spent_s(self) -> list[float]:
        """Return the seconds since the last call."""
        before, self._before = self._before, self._now()
        return [now - then for now, then in zip(self._before, before, strict=True)]


def pm2_s(ports: list[int], directory: Path) -> dict[str, float]:
    """Return what PM2 takes for as many processes."""
    if not PM2.exists():
        return {}
    own = os.environ | {"PM2_HOME": str(directory / "pm2")}
    (directory / "pm2.json").write_text(ecosystem(ports))
    found = {}
    command = str(PM2)
    try:
        took_s([command, "ping"], own, directory)
        began = time.monotonic()
        took_s([command, "start", "pm2.json"], own, directory)
        for port in ports:
            until(partial(answers, port), f"port {port}", LONG_S)
        found["start"] = time.monotonic() - began
        found["list"] = sorted(
            took_s([command, "jlist"], own, directory) for _ in range(LISTS)
        )[LISTS // 2]
        pid = int((directory / "pm2" / "pm2.pid").read_text())
        found["rss"] = resident_mb(pid)
        before = processor_s(pid)
        found["reload"] = took_s([command, "reload", "all"], own, directory)
        found["cpu"] = processor_s(pid) - before
    finally:
        began = time.monotonic()
        subprocess.run([command, "kill"], env=own, capture_output=True, check=False)
        found["kill"] = time.monotonic() - began
    return found


def reload_of_one_s(host: Host) -> float:
    """Return the median of the seconds that reloads of the first app take."""
    command = [str(GAPLESS), "reload", "a000", "--json"]
    return sorted(
        took_s(command, host.environment, host.directory) for _ in range(RELOADS)
    )[RELOADS // 2]


def few(table: Table) -> float:
    """Print the memory with few apps; return the seconds that a reload takes there."""
    with temporary_host("gapless-bench-") as host:
        host.configure(configuration([free_port() for _ in range(FEW)]))
        host.ok("start", "gapless.toml")
        reload_s = reload_of_one_s(host)
        memory = resident_mb(host.supervisor_pid())
        table.row(
            f"memory of the supervisor with {FEW} apps",
            f"{memory:.1f} MB",
            goal="16 MB",
        )
    return reload_s


def main(count: int) -> None:
    """Print the table."""
    print(f"{count} apps, {INSTANCES} instances of each")
    table = Table()
    alone_s = few(table)
    with temporary_host("gapless-bench-") as host:
        many: list[int] = []
        while len(many) < count * INSTANCES:
            port = free_port()
            many += [port] if port not in many else []
        with bare(many, host.directory) as bare_s:
            pass
        pm2 = pm2_s(many, host.directory)

        def of_pm2(name: str, unit: str = "s", scale: float = 1) -> str:
            return f"{pm2[name] * scale:.2f} {unit}" if name in pm2 else "-"

        host.configure(configuration(many[:count]))
        command = [str(GAPLESS), "start", "gapless.toml", "--json"]
        start_s = took_s(command, host.environment, host.directory)
        own = OwnProcesses(host)
        cpu = [processor_s(pid) for pid in own.pids]
        table.row(
            "start of the file, until all serve",
            f"{start_s:.2f} s",
            of_pm2("start"),
            f"{bare_s:.2f} s",
            f"{1.3 * bare_s:.2f} s",
        )
        table.row(
            "  processor time of supervisor, of keeper", "{:.2f} {:.2f}".format(*cpu)
        )
        lists = measured_list_s(host)
        table.row(
            "list (median)",
            f"{lists[LISTS // 2] * 1e3:.0f} ms",
            of_pm2("list", "ms", 1e3),
            goal="150 ms",
        )
        memory = [resident_mb(pid) for pid in own.pids]
        table.row(
            "memory of both", f"{sum(memory):.0f} MB", of_pm2("rss", "MB"), goal="60 MB"
        )
        until(lambda: not wakeups_in(own.pids, WRITTEN_S), "rest")
        woken = wakeups_in(own.pids, IDLE_S)
        table.row(f"wake-ups in {IDLE_S:g} s at rest", str(woken), goal="0")
        own.spent_s()
        one_s = reload_of_one_s(host)
        spent = own.spent_s()
        table.row(f"reload of one; alone {alone_s:.2f} s", f"{one_s:.2f} s")
        spent_ms = spent[0] / RELOADS * 1e3
        table.row("  processor time of the supervisor", f"{spent_ms:.0f} ms")
        command = [str(GAPLESS), "reload", "all", "--json"]
        all_s = took_s(command, host.environment, host.directory)
        spent = own.spent_s()
        table.row("reload of all", f"{all_s:.2f} s", of_pm2("reload"))
        table.row(
            "  processor time of the supervisor, an app",
            f"{spent[0] / count * 1e3:.1f} ms",
            of_pm2("cpu", "ms", 1e3 / count),
            goal="20 ms",
        )
        table.row(
            "  processor time of the keeper, an app", f"{spent[1] / count * 1e3:.1f} ms"
        )
        memory = [resident_mb(pid) for pid in own.pids]
        table.row("memory of both, after it", f"{sum(memory):.0f} MB", goal="60 MB")
        command = [str(GAPLESS), "shutdown"]
        down_s = took_s(command, host.environment, host.directory)
        table.row("shutdown", f"{down_s:.2f} s", of_pm2("kill"), goal="5 s")


if __name__ == "__main__":
    clean_up_at_sigterm()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
