"""A fault of ours in the turn of one app hurts that app, and no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig.hosts import control
from rig.hosts.host import APPS, Host
from rig.hosts.usage import processor_s
from rig.wait import free_port, until

WATCHED_S = 2.0
FAULTY = """
import os, sys
from gapless.supervisor import run
from gapless.supervisor.act import start_limit
from gapless.supervisor.decide import plan
start_limit.StartLimit.free = lambda self, now: 1
real = plan.plan
def faulty(desired, observed):
    begun = len(observed.generations) > 1 and observed.generations[-1].instances
    if begun and os.path.exists(sys.argv[2]):
        raise RuntimeError("a fault on purpose")
    return real(desired, observed)
plan.plan = faulty
run.main(sys.argv[1:2])
"""
"""One instance may start in a plan: the app waits for its turn when its plan raises."""


@contextmanager
def faulty_supervisor(host: Host, fault: Path) -> Iterator[int]:
    """Put a supervisor whose plan of a reload raises in the place of the one that runs."""
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    argv = [sys.executable, "-c", FAULTY, str(host.home), str(fault)]
    with subprocess.Popen(argv, env=host.environment, cwd="/") as process:

        def is_there() -> bool:
            found = control.ask(host.home, "ping")
            return bool(found) and found["pid"] == process.pid

        try:
            until(is_there, "the faulty supervisor")
            yield process.pid
        finally:
            process.kill()


def test_a_turn_that_raises_ends_the_operation_of_its_app(host: Host) -> None:
    """The command says so, the other app is reloaded, and nothing is tried all the time."""
    command = [sys.executable, str(APPS / "small.py")]
    for name in ("good", "sick"):
        host.configure(
            f"[app.{name}]\ncommand = {json.dumps(command)}\ninstances = 2\n"
            f'environment = {{ PORT = "{free_port()}" }}\nmin_healthy_s = 0.2\n',
            f"{name}.toml",
        )
        host.ok("start", f"{name}.toml")
    fault = host.directory / "fault"
    with faulty_supervisor(host, fault) as pid:
        fault.touch()
        done = host.gapless("reload", "sick")
        assert done.returncode == 1
        assert "an internal error: RuntimeError: a fault on purpose" in done.stdout
        used_s = processor_s(pid)
        time.sleep(WATCHED_S)  # for so long its work is counted
        assert processor_s(pid) - used_s < WATCHED_S / 4
        fault.unlink()
        host.ok("reload", "good")
        host.ok("reload", "sick")
    for name in ("good", "sick"):
        assert host.status(name) == "online"
