"""The keeper is killed: the next one goes on, and nothing is lost.

docs/faults.md says what users see; docs/decisions/0022 why it is so.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import signal
import sys
from collections.abc import Iterator

import pytest

from rig.hosts import control
from rig.hosts.host import Host
from rig.load import engine
from rig.load.process import run_load
from rig.wait import free_port, until

GOOD = ["node", "app.js"]
CHATTY = [sys.executable, "-I", "-S", "printing/chatty.py"]
LINES = 400_000
STEPS = ["starting", "ready", "switched", "proven", "draining", "stopping"]


def pids_of(host: Host) -> dict[str, int]:
    """Return the pids of supervisor, keeper and guardian; nothing without a supervisor."""
    found = control.ask(host.home, "list")
    supervisor = (found or {}).get("supervisor") or {}
    return {name: supervisor[name] for name in supervisor if name.endswith("pid")}


def kill_keeper(host: Host, *others: str) -> int:
    """Kill the keeper, and *others* with it; return its pid when another one is there."""
    before = pids_of(host)
    for name in ("keeper_pid", *others):
        os.kill(before[name], signal.SIGKILL)
    if "pid" in others:
        host.start_supervisor()
    keeper = before["keeper_pid"]
    until(lambda: pids_of(host).get("keeper_pid", keeper) != keeper, "another keeper")
    return keeper


def last_line(host: Host) -> int:
    """Return the number of the last line that is in the log of an app; -1 for none."""
    with (host.home / "logs" / "app.log").open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 400))
        found = re.findall(rb"line (\d+) x*\n", file.read())
    return int(found[-1]) if found else -1


def has_line(host: Host, number: int) -> bool:
    """Return whether a line is in the log of an app."""
    return last_line(host) >= number


def log_of(host: Host, name: str) -> str:
    """Return all that an app has printed, without what gapless puts before each line."""
    logs = sorted((host.home / "logs").glob(f"{name}.log*"))
    return "".join(path.read_text() for path in reversed(logs))


def faults(log: str) -> list[str]:
    """Return which lines are missing, doubled or broken, each with those around it."""
    lines, wrong, number = log.splitlines(), [], 0
    for at, line in enumerate(lines):
        found = re.fullmatch(r"line (\d+) x*", line)
        if found is None or int(found[1]) != number:
            wrong.append(f"not {number}: {lines[max(0, at - 1) : at + 2]}")
        number = int(found[1]) + 1 if found else number
    return wrong


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Let a process stand still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_a_keeper_that_dies_is_followed_by_another(host: Host) -> None:
    """Under load: no request is lost, the same instance serves, a reload works."""
    port = free_port()
    host.start("app", GOOD, port=port)
    pids, supervisor = host.app("app")["pids"], host.supervisor_pid()
    with run_load(port, engine.NEW, engine.POST) as under_load:
        under_load.wait_for(50)
        for _ in range(2):
            kill_keeper(host)
        assert host.app("app")["pids"] == pids
        assert host.supervisor_pid() == supervisor
        host.declare("app", GOOD, port=port, release="2")
        host.ok("reload", "app.toml")
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    (pid,) = host.app("app")["pids"]
    os.kill(pid, signal.SIGUSR2)
    until(lambda: host.app("app")["pids"] not in ([], [pid]), "its restart")
    host.ok("shutdown")
    until(lambda: not host.processes(), "nothing left")


@pytest.mark.parametrize("others", [(), ("pid",)], ids=["keeper", "both"])
def test_no_line_is_lost_or_doubled(host: Host, others: tuple[str, ...]) -> None:
    """A program prints all the time, in pieces, while keeper after keeper is killed."""
    more = 'log = { format = "plain" }'
    host.start("app", [*CHATTY, str(LINES)], port=free_port(), more=more)
    draw, kills = random.Random(7), 0
    while (last := last_line(host)) < LINES - 1:
        goal = min(LINES - 1, last + draw.randrange(LINES // 10))  # at any moment
        until(functools.partial(has_line, host, goal), f"line {goal}")
        kill_keeper(host, *others)
        kills += 1
    assert kills > 2
    wrong = faults(log_of(host, "app"))
    assert not wrong, wrong[:3]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("others", [(), ("pid",)], ids=["keeper", "both"])
def test_a_keeper_that_dies_in_a_handoff_loses_nothing(
    host: Host, step: str, others: tuple[str, ...]
) -> None:
    """The handoff goes on, and the command ends with the truth."""
    port = free_port()
    host.start("app", GOOD, port=port, more="instances = 2")
    with run_load(port, engine.NEW, engine.POST) as under_load:
        under_load.wait_for_version("1")
        host.declare("app", GOOD, port=port, release="2", more="instances = 2")
        reload = host.begin("reload", "app.toml")
        assert reload.stdout is not None
        for line in reload.stdout:
            if f" {step}" in line:
                kill_keeper(host, *others)
                break
        rest = reload.communicate(timeout=60)[0]
        assert reload.returncode == 0, rest
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    described = host.app("app")
    assert (described["generation"], described["instances"]["ready"]) == (2, 2)
    assert [g["role"] for g in described["generations"]] == ["serving"]
