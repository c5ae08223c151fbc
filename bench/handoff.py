"""How long does a release take, and what do clients notice of it?

A control run starts the same processes at the same times and does not switch to them.
gunicorn runs under the same load for comparison, with and without its own HUP.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rig.hosts.host import (
    APPS,
    SERVERS,
    Host,
    temporary_host,
)
from rig.load import engine
from rig.load.engine import Report
from rig.load.process import run_load
from rig.sigterm import clean_up_at_sigterm
from rig.wait import free_port, until

TRAFFIC = (
    engine.Traffic(kind="new", concurrency=4, pause_s=0.002),
    engine.Traffic(kind="slow", concurrency=2, path="/slow?s=0.5"),
)
COUNT = 5
MIN_HEALTHY_S = 2.0


def gapless(host: Host, port: int) -> tuple[Report, list[float], list[float], float]:
    """Release under load.

    Return the report, the seconds to each switch and to each end, and the seconds that the
    app takes to start without gapless.
    """
    command = ["node", "app.js"]
    more = f"min_healthy_s = {MIN_HEALTHY_S}\ninstances = 2"
    host.start("app", command, port=port, more=more)
    switched, ended = [], []
    with run_load(port, *TRAFFIC) as under_load:
        for release in range(2, COUNT + 2):
            host.declare("app", command, port=port, release=str(release), more=more)
            steps = {s["step"]: s["at_s"] for s in host.json("reload", "app")["steps"]}
            switched.append(steps["switched"])
            ended.append(steps["closed"])
        report = under_load.stop()
    other = free_port()
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=APPS, env=host.environment | {"PORT": str(other)}
    )
    until(lambda: _answers(other), "the bare app", 20)
    start_s = time.monotonic() - began
    process.kill()
    process.wait()
    return report, switched, ended, start_s


def control(host: Host, port: int) -> Report:
    """Start as many processes at the same times, and switch to none."""
    host.start("control", ["node", "app.js"], port=port, more="instances = 2")
    with run_load(port, *TRAFFIC) as under_load:
        for _ in range(COUNT):
            started = [
                subprocess.Popen(
                    ["node", "app.js"],
                    cwd=APPS,
                    env=host.environment | {"PORT": str(free_port())},
                )
                for _ in range(2)
            ]
            time.sleep(MIN_HEALTHY_S + 0.3)
            for process in started:
                process.kill()
                process.wait()
        return under_load.stop()


def gunicorn(port: int, *, hup: bool) -> Report:
    """Run gunicorn under the same load; *hup* lets it replace its processes."""
    command = [str(SERVERS / "gunicorn"), "-b", f"127.0.0.1:{port}", "-w", "2"]
    process = subprocess.Popen(
        [*command, "--threads", "8", "wsgi_app:app"],
        cwd=APPS,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RELEASE": "1"},
    )
    try:
        until(lambda: _answers(port), "gunicorn", 20)
        with run_load(port, *TRAFFIC) as under_load:
            for _ in range(COUNT):
                under_load.wait_for(100)
                if hup:
                    process.send_signal(signal.SIGHUP)
                time.sleep(MIN_HEALTHY_S + 0.3)
            return under_load.stop()
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def row(name: str, report: Report) -> None:
    """Print one line of the table."""
    new = report.kinds["new"]
    print(
        f"{name:<24}{report.requests:>9}{report.lost:>6}"
        f"{new['p50_ms']:>9.2f}{new['p99_ms']:>9.2f}{new['max_ms']:>9.1f}"
    )


def main() -> None:
    """Print the tables."""
    with temporary_host("gapless-bench-") as host:
        report, switched, ended, start_s = gapless(host, free_port())
        controlled = control(host, free_port())
    hup = gunicorn(free_port(), hup=True)
    quiet = gunicorn(free_port(), hup=False)
    print(
        f"{'run':<24}{'requests':>9}{'lost':>6}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}"
    )
    row(f"node, {COUNT} handoffs", report)
    row("node, control", controlled)
    row(f"gunicorn, {COUNT} HUPs", hup)
    row("gunicorn, no HUP", quiet)
    ratio = report.kinds["new"]["p99_ms"] / controlled.kinds["new"]["p99_ms"]
    print(f"\np99 of handoffs to p99 of control: {ratio:.2f} (goal 1.2)")
    print(f"bare start of the app       {start_s:.2f} s")
    print(f"to the switch, median       {sorted(switched)[COUNT // 2]:.2f} s")
    print(f"to the end, median          {sorted(ended)[COUNT // 2]:.2f} s")
    floor_s = start_s + MIN_HEALTHY_S + 0.5
    print(
        f"the end at the earliest     {floor_s:.2f} s (start, {MIN_HEALTHY_S:g} s, 0.5 s)"
    )


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
