"""The keeper is killed: the next one goes on, and nothing is lost.

docs/faults.md says what users see; docs/decisions/0022 why it is so.
"""

from __future__ import annotations

import functools
import os
import random
import re
import signal
import sys
import urllib.request

import pytest

from rig.hosts import control
from rig.hosts.host import Host
from rig.hosts.processes import stopped
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import times
from rig.wait import free_port, until

GOOD = ["node", "app.js"]
CHATTY = [sys.executable, "-I", "-S", "printing/chatty.py"]
VICTIMS = [
    pytest.param((), id="keeper"),
    pytest.param(("pid",), id="both", marks=pytest.mark.soak),
]
STEPS = ["2 starts", "listens on", "takes all new", "is proven", "1 drains", "1 stops"]


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
    try:
        with (host.home / "logs" / "app.log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 400))
            found = re.findall(rb"line (\d+) x*\n", file.read())
    except FileNotFoundError:
        return -1  # it is being rotated
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


@pytest.mark.parametrize("lines", times(20_000, 300_000))
@pytest.mark.parametrize("others", VICTIMS)
def test_no_line_is_lost_or_doubled(
    host: Host, others: tuple[str, ...], lines: int
) -> None:
    """A program prints all the time, in pieces, while keeper after keeper is killed."""
    more = 'log = { format = "plain" }'
    host.start("app", [*CHATTY, str(lines), "0.004"], port=free_port(), more=more)
    draw, kills = random.Random(7), 0
    while (last := last_line(host)) < lines - 1:
        goal = min(lines - 1, last + draw.randrange(lines // 5))  # at any moment
        until(functools.partial(has_line, host, goal), f"line {goal}")
        kill_keeper(host, *others)
        kills += 1
    assert kills > 1
    wrong = faults(log_of(host, "app"))
    assert not wrong, wrong[:3]


@pytest.mark.soak
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("others", VICTIMS)
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


@pytest.mark.soak
def test_a_supervisor_that_lost_keeper_and_guardian_begins_again(host: Host) -> None:
    """Its pid stays, and no command is needed."""
    port = free_port()
    host.start("app", GOOD, port=port)
    (pid,) = host.app("app")["pids"]
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for(20)
        before = pids_of(host)
        with stopped(before["guardian_pid"]):  # else it may start a keeper in between
            os.kill(before["keeper_pid"], signal.SIGKILL)
            os.kill(before["guardian_pid"], signal.SIGKILL)
        until(
            lambda: pids_of(host).get("keeper_pid") not in (None, before["keeper_pid"]),
            "another keeper",
        )
        assert pids_of(host)["pid"] == before["pid"]
        until(lambda: host.app("app")["pids"] == [pid], "the same instance")
        under_load.wait_for(20)
        report = under_load.stop()
    assert report.lost == 0, str(report)


@pytest.mark.soak
def test_a_guardian_that_dies_is_followed_and_so_is_a_keeper_then(host: Host) -> None:
    """The keeper starts another guardian and gives it everything."""
    port = free_port()
    host.start("app", GOOD, port=port)
    (pid,) = host.app("app")["pids"]
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for(20)
        for _ in range(2):
            guardian = pids_of(host)["guardian_pid"]
            os.kill(guardian, signal.SIGKILL)
            until(functools.partial(has_another, host, guardian), "another guardian")
            kill_keeper(host)
        assert host.app("app")["pids"] == [pid]
        report = under_load.stop()
    assert report.lost == 0, str(report)
    os.kill(pid, signal.SIGKILL)
    until(lambda: host.app("app")["pids"] not in ([], [pid]), "its restart")
    host.ok("shutdown")
    until(lambda: not host.processes(), "nothing left")


def has_another(host: Host, guardian: int) -> bool:
    """Return whether the keeper has given everything to another guardian."""
    return pids_of(host)["guardian_pid"] not in (0, guardian)


def guardians(host: Host) -> set[int]:
    """Return the pids of the guardians that live."""
    found = host.processes().items()
    return {pid for pid, command in found if command.startswith("gapless guardian")}


@pytest.mark.soak
def test_a_guardian_that_is_stopped_blocks_nothing(host: Host) -> None:
    """Another one takes its place; when it goes on, it ends and starts no keeper."""
    port = free_port()
    host.start("app", GOOD, port=port)
    before = pids_of(host)
    with run_load(port, engine.NEW) as under_load:
        with stopped(before["guardian_pid"]):
            host.declare("app", GOOD, port=port, release="2")
            host.ok("reload", "app.toml")
            under_load.wait_for_version("2")
            until(
                functools.partial(has_another, host, before["guardian_pid"]),
                "another guardian",
            )
            os.kill(before["keeper_pid"], signal.SIGKILL)
            until(
                lambda: pids_of(host).get("keeper_pid") not in (None, *before.values()),
                "another keeper",
            )
        until(lambda: before["guardian_pid"] not in guardians(host), "its end")
        keeper = pids_of(host)["keeper_pid"]
        host.ok("restart", "app")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert pids_of(host)["keeper_pid"] == keeper


@pytest.mark.soak
def test_an_instance_that_ends_while_no_keeper_lives_is_known_to_have(
    host: Host,
) -> None:
    """Its exit code is in the log, and it is started again."""
    script = "trap 'exit 7' USR1; while :; do sleep 0.01; done"
    host.configure(f'[app.app]\ncommand = ["sh", "-c", "{script}"]\n')
    host.ok("start", "gapless.toml")
    (pid,) = host.app("app")["pids"]
    before = pids_of(host)
    with stopped(before["guardian_pid"]):
        os.kill(before["keeper_pid"], signal.SIGKILL)
        os.kill(pid, signal.SIGUSR1)
        until(lambda: pid not in host.processes(), "its end")
    until(lambda: host.app("app")["pids"] not in ([], [pid]), "its restart")
    log = (host.home / "logs" / "gapless.log").read_text()
    assert "exited with code 7" in log


SENDS = """
const http = require('http');
http.createServer((request, response) => {
  if (!process.send) return response.end('no channel');
  process.send({ type: 'process:msg', data: 1 }, (error) => {
    response.end(error ? `failed ${error.code}` : 'sent');
  });
}).listen(Number(process.env.PORT), '127.0.0.1');
process.on('disconnect', () => { console.log('disconnected'); });
"""


@pytest.mark.soak
@pytest.mark.parametrize("others", VICTIMS)
def test_process_send_does_not_fail(host: Host, others: tuple[str, ...]) -> None:
    """While no keeper, and no supervisor, lives, nor after."""
    port = free_port()
    (host.directory / "sends.js").write_text(SENDS)
    host.start("app", ["node", "sends.js"], port=port, directory=host.directory)
    before = pids_of(host)

    def answer() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as found:
            return str(found.read().decode())

    assert answer() == "sent"
    with stopped(before["guardian_pid"]):
        for name in ("keeper_pid", *others):
            os.kill(before[name], signal.SIGKILL)
        for _ in range(20):
            assert answer() == "sent"
    if others:
        host.start_supervisor()
    until(lambda: pids_of(host).get("keeper_pid", 0) not in before.values(), "a keeper")
    assert answer() == "sent"
    assert "disconnected" not in log_of(host, "app")
