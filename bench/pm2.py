"""The article's app.json under PM2 7 and under gapless, one after the other, same load.

It measures failed requests and the time of a reload and a restart, what a broken version
and the death of the manager do, memory and processor time at rest, and the time to start.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rig.hosts.host import GAPLESS, ROOT
from rig.hosts.usage import processor_s, resident_mb
from rig.load import engine
from rig.load.engine import Report
from rig.load.process import run_load
from rig.sigterm import clean_up_at_sigterm
from rig.wait import answers, free_port, until

PM2 = ROOT / "node" / "gapless-drain" / "node_modules" / ".bin" / "pm2"
EXAMPLE = ROOT / "examples" / "article"
TRAFFIC = (
    engine.NEW,
    engine.KEEP_ALIVE,
    engine.Traffic(kind="paused", concurrency=4, keep_alive=True, pause_s=0.7),
)
IDLE_S = 10.0
RELOADS = 3


class Peer:
    """PM2 or gapless, and the article's app under it."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.port, self.directory = name, free_port(), directory / "app"
        self.home = directory / "home"
        self.command = [str(PM2)] if name == "PM2" else [str(GAPLESS), "pm2"]
        own = {"PM2_HOME" if name == "PM2" else "GAPLESS_HOME": str(self.home)}
        self.environment = os.environ | own | {"PORT": str(self.port)}
        shutil.copytree(
            EXAMPLE, self.directory, ignore=shutil.ignore_patterns("node_modules")
        )
        subprocess.run(["npm", "ci", "--silent"], cwd=self.directory, check=True)
        text = (self.directory / "app.json").read_text()
        log = directory / "www"
        (self.directory / "app.json").write_text(text.replace("/var/www", str(log)))

    def run(self, *words: str) -> tuple[int, float]:
        """Run a command; return its exit code and its seconds."""
        began = time.monotonic()
        done = subprocess.run(
            [*self.command, *words],
            cwd=self.directory,
            env=self.environment | {"PWD": str(self.directory)},
            capture_output=True,
            timeout=120,
            check=False,
        )
        return done.returncode, time.monotonic() - began

    def start(self) -> float:
        """Start the app; return after how many seconds it answers."""
        began = time.monotonic()
        self.run("start", "./app.json", "--env", "production")
        until(self.answers, f"{self.name} answers", 30)
        return time.monotonic() - began

    def answers(self) -> bool:
        """Return whether the app answers."""
        return answers(self.port)

    def managers(self) -> list[int]:
        """Return the pids of PM2's daemon, or of the supervisor and the keeper."""
        if self.name == "PM2":
            return [int((self.home / "pm2.pid").read_text())]
        done = subprocess.run(
            [str(GAPLESS), "list", "--json"],
            env=self.environment,
            capture_output=True,
            check=True,
        )
        found = json.loads(done.stdout)["supervisor"]
        return [found["pid"], found["keeper_pid"]]

    def under_load(self, *words: str) -> tuple[Report, int, float]:
        """Run a command under load; return the load's report, its exit code and seconds."""
        with run_load(self.port, *TRAFFIC) as load:
            load.wait_for(100)
            code, took_s = self.run(*words)
            time.sleep(2)
            return load.stop(), code, took_s


def rss_mb(pids: list[int]) -> float:
    """Return the resident memory of processes."""
    return sum(resident_mb(pid) for pid in pids)


def cpu_ms(pids: list[int]) -> float:
    """Return the processor time of processes."""
    return sum(processor_s(pid) for pid in pids) * 1000


def measure(peer: Peer) -> dict[str, str]:
    """Return one column of the table."""
    found = {"start until it answers": f"{peer.start():.2f} s"}
    pids = peer.managers()
    before = cpu_ms(pids)
    time.sleep(IDLE_S)
    used = cpu_ms(peer.managers()) - before
    found["manager at rest: memory"] = f"{rss_mb(pids):.1f} MB"
    found[f"manager at rest: CPU in {IDLE_S:g} s"] = f"{used:.0f} ms"
    for verb in ("reload", "restart"):
        lost = requests = 0
        times = []
        for _ in range(RELOADS):
            report, _, took_s = peer.under_load(verb, "example")
            lost, requests = lost + report.lost, requests + report.requests
            times.append(took_s)
        found[f"{RELOADS} x {verb}: failed of requests"] = f"{lost} of {requests}"
        found[f"{verb}: time"] = f"{sorted(times)[len(times) // 2]:.1f} s"
    index = peer.directory / "index.js"
    good = index.read_text()
    index.write_text("throw new Error('broken on purpose')")
    report, code, _ = peer.under_load("reload", "example")
    outcome = "serves" if peer.answers() else "out of service"
    found["broken version"] = f"{report.lost} failed, exit code {code}, {outcome}"
    index.write_text(good)
    peer.run("delete", "all")
    peer.start()
    with run_load(peer.port, *TRAFFIC) as load:
        load.wait_for(100)
        os.kill(peer.managers()[0], signal.SIGKILL)
        time.sleep(3)
        report = load.stop()
    outcome = "serves" if peer.answers() else "out of service"
    found["manager killed"] = f"{report.lost} failed, {outcome}"
    return found


def main() -> None:
    """Print the table."""
    columns = {}
    for name in ("PM2", "gapless"):
        with tempfile.TemporaryDirectory(prefix="gapless-bench-") as directory:
            peer = Peer(name, Path(directory))
            try:
                columns[name] = measure(peer)
            finally:
                peer.run("kill")
    print(f"{'':<32}{'PM2 7':>42}{'gapless':>42}")
    for row in columns["PM2"]:
        cells = "".join(f"{columns[name][row]:>42}" for name in columns)
        print(f"{row:<32}{cells}")


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
