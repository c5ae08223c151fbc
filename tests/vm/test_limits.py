"""Limits by control groups (v2): kept through restarts, and named when they kill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rig import wait
from rig.vm.machine import BOOT_S, Machine
from rig.vm.tree import GAPLESS
from rig.vm.unit import UNITS, Unit

PROGRAM = """
import os, time
while True:
    time.sleep(0.2)
    if os.path.exists("eat"):
        os.unlink("eat")
        eaten = b"." * (300 << 20)
"""
APP = """
[app.eater]
command = ["python3", "eater.py"]
min_healthy_s = 0
ready = { timeout_s = 240 }
limits = { memory_mb = MEMORY, cpu_percent = 50 }
"""


@pytest.fixture(params=UNITS)
def unit(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Unit]:
    """Install a unit of each kind, with a program that eats memory; take it away again."""
    found = UNITS[request.param](machine)
    _write(found, "eater.py", PROGRAM)
    _write(found, "eater.toml", APP.replace("MEMORY", "64"))
    found.systemctl("start")
    yield found
    found.remove()


def test_a_limit_is_kept_and_named_when_it_kills(unit: Unit) -> None:
    """Through `systemctl restart` and a crash; the next reload applies another one."""
    started = unit.gapless("start", f"{unit.home}/eater.toml")
    assert "no effect" not in started
    kept = ["67108864", "50000 100000"]
    assert _limits(unit) == kept
    before = unit.listed("eater")["pids"]

    unit.systemctl("restart")
    assert unit.listed("eater")["pids"] == before
    assert _limits(unit) == kept
    unit.systemctl("kill", "--kill-who=main", "--signal=KILL")
    pid = before[0]
    wait.until(lambda: _limits_of(unit, pid) == kept, "the limits again", BOOT_S)
    wait.until(lambda: _is_active(unit), "the unit", BOOT_S)
    assert unit.listed("eater")["pids"] == before
    doctor = unit.machine.run(GAPLESS, "doctor", user=unit.user).output
    assert "ok       limits of instances: limits.memory_mb" in doctor

    _write(unit, "eat", "")
    wait.until(lambda: _last_exit(unit), "its end", BOOT_S)
    assert "was killed by SIGKILL by the kernel" in _last_exit(unit)
    assert "its own limit of 64 MB (limits.memory_mb)" in _last_exit(unit)
    wait.until(lambda: unit.listed("eater")["pids"] not in ([], before), "it", BOOT_S)
    assert unit.listed("eater")["restarts"] == 1

    _write(unit, "eater.toml", APP.replace("MEMORY", "96"))
    unit.gapless("reload", "eater")
    assert _limits(unit)[0] == str(96 << 20)


def _limits(unit: Unit) -> list[str]:
    """Return memory.max and cpu.max of the group of the instance."""
    (pid,) = unit.listed("eater")["pids"]
    return _limits_of(unit, pid)


def _limits_of(unit: Unit, pid: int) -> list[str]:
    lines = unit.machine.ok("cat", f"/proc/{pid}/cgroup").split()
    group = next(line[3:] for line in lines if line.startswith("0::"))
    files = [f"/sys/fs/cgroup{group}/{name}" for name in ("memory.max", "cpu.max")]
    return unit.machine.run("cat", *files).output.splitlines()


def _is_active(unit: Unit) -> bool:
    """Return whether a supervisor that systemd started answers."""
    found = unit.machine.run(GAPLESS, "list", "--json", user=unit.user)
    if found.code:
        return False
    return bool(json.loads(found.output)["supervisor"]["started_by"] == "supervise")


def _last_exit(unit: Unit) -> str:
    found: dict[str, Any] = json.loads(unit.gapless("describe", "eater", "--json"))
    return str(found["seats"][0]["last_exit"] or "")


def _write(unit: Unit, name: str, text: str) -> None:
    script = f"cat > {unit.home}/{name} <<'E'\n{text}\nE"
    unit.machine.ok("sh", "-c", script, user=unit.user)
