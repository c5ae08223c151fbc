"""Supervisor, keeper and guardian are killed at once: what serves is found again.

docs/faults.md says what users see.  Nothing here waits for a note on disk: what a command
has said is there.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
from itertools import permutations
from pathlib import Path

import pytest

from rig.hosts.host import APPS, Host
from rig.load import engine
from rig.load.process import run_load
from rig.wait import answers, free_port, until

GOOD = ["node", "app.js"]
TINY = [sys.executable, "-I", "-S", str(APPS / "tiny.py")]
PAUSES_S = [0.0005, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.3]
STEPS = ["2 starts", "takes all new", "is proven", "1 drains", "1 stops"]
"""Between "listens on" and "takes all new" the program may wait for its answer: LIMITS."""


def kill_all(host: Host) -> None:
    """Kill all three at once: none of them sees another die, and begins to replace it."""
    pids = host.own_pids()
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    until(lambda: not host.processes().keys() & set(pids), "their end")


def test_an_app_is_found_again_right_after_its_first_start(host: Host) -> None:
    """By a command that looks: the same processes in the same generation, and no other.

    And `shutdown` ends them, whoever has died before.
    """
    port = free_port()
    host.declare("app", TINY, port=port, release="1")
    host.ok("start", "app.toml")
    until(lambda: answers(port), "its call of listen has returned")
    kill_all(host)
    (left,) = host.processes()
    found = host.app("app")
    assert found["pids"] == [left]
    assert (found["generation"], found["instances"]["ready"]) == (1, 1)
    assert set(host.processes()) == {left, *host.own_pids()}
    kill_all(host)
    host.ok("shutdown")
    until(lambda: not host.processes(), "nothing left")


@pytest.mark.parametrize(
    "pause_s",
    [0, *(pytest.param(each, marks=pytest.mark.soak) for each in PAUSES_S)],
)
@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_an_app_is_found_again_whoever_dies_first(
    host: Host, order: tuple[int, ...], pause_s: float
) -> None:
    """One after another, in each order: who sees it may have begun to replace the dead.

    What has begun so ends, and says nothing: its line to the dead is closed.
    """
    port = free_port()
    host.declare("app", TINY, port=port, release="1")
    host.ok("start", "app.toml")
    until(lambda: answers(port), "its call of listen has returned")
    (left,) = host.app("app")["pids"]
    pids = host.own_pids()
    for each in order:
        os.kill(pids[each], signal.SIGKILL)
        select.select([], [], [], pause_s)
    found = host.app("app")
    assert found["pids"] == [left]
    assert (found["generation"], found["instances"]["ready"]) == (1, 1)
    expected = {left, *host.own_pids()}
    until(lambda: set(host.processes()) == expected, "the end of whoever had begun")


TAKES_OVER = """
import os, signal, sys
from gapless.supervisor import run
from gapless.supervisor.memory.keeper_connection import KeeperConnection
send = KeeperConnection._send
def dies_then(self, message, descriptors=()):
    send(self, message, descriptors)
    if message["op"] == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
KeeperConnection._send = dies_then
run.main(sys.argv[1:2])
"""


@pytest.mark.parametrize("op", ["take", pytest.param("hold", marks=pytest.mark.soak)])
def test_who_takes_over_may_die_too(host: Host, op: str) -> None:
    """The keeper has a part of it then, and no note: the note on disk counts."""
    port = free_port()
    host.declare("app", TINY, port=port, release="1", more="instances = 2")
    host.ok("start", "app.toml")
    seen: set[bytes] = set()

    def both_answer() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}") as answer:
            seen.add(answer.read())
        return len(seen) == 2

    until(both_answer, "the calls of listen of both have returned")
    left = sorted(host.app("app")["pids"])
    kill_all(host)
    code = [sys.executable, "-c", TAKES_OVER, str(host.home), op]
    died = subprocess.run(code, env=host.environment, cwd="/", check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    found = host.app("app")
    assert sorted(found["pids"]) == left
    assert (found["generation"], found["instances"]["ready"]) == (1, 2)
    assert answers(port)
    host.ok("reload", "app.toml")
    until(lambda: not host.processes().keys() & set(left), "the next generation alone")
    assert answers(port)


@pytest.mark.soak
@pytest.mark.parametrize("step", STEPS)
def test_a_handoff_in_which_all_three_die_loses_nothing(host: Host, step: str) -> None:
    """The command ends with the truth, and one release serves."""
    port = free_port()
    more = "instances = 2"
    host.start("app", GOOD, port=port, more=more)
    with run_load(port, engine.NEW, engine.POST) as under_load:
        under_load.wait_for_version("1")
        host.declare("app", GOOD, port=port, release="2", more=more)
        reload = host.begin("reload", "app.toml")
        assert reload.stdout is not None
        for line in reload.stdout:
            if f" {step}" in line:
                if step != STEPS[0]:
                    under_load.wait_for_version("2")
                kill_all(host)
                break
        rest = reload.communicate(timeout=60)[0]
        host.start_supervisor()
        until(lambda: at_rest(host), "one generation", 30)
        if reload.returncode == 0:
            under_load.wait_for_version("2")
        else:
            under_load.wait_for(50)
        assert host.app("app")["generation"] == 1 + (reload.returncode == 0), rest
        assert set(host.processes()) == {*host.app("app")["pids"], *host.own_pids()}
        host.declare("app", GOOD, port=port, release="3", more=more)
        host.ok("reload", "app.toml")
        under_load.wait_for_version("3")
        report = under_load.stop()
    assert report.lost == 0, str(report)


RUNNER = ["bash", "-c", f"{' '.join(TINY)} & trap 'kill $!' TERM; wait; wait; true"]
"""What has the socket is a child of the process that gapless has started."""
PREFORK = """
import os, signal, socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen(128)
workers = []
while len(workers) < 2 and 0 not in workers:
    workers.append(os.fork())
signal.signal(signal.SIGTERM, lambda *_: None if 0 in workers else [
    os.kill(each, signal.SIGTERM) for each in workers])
if 0 not in workers:
    if "closes" in sys.argv:
        listener.close()
    for _ in workers:
        os.wait()
    sys.exit()
ended, ends = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(ends)
listener.setblocking(False)
import select
body = f"release {os.environ['RELEASE']} pid {os.getpid()}\\n".encode()
head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n"
while ended not in select.select([listener, ended], [], [])[0]:
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    connection.settimeout(5)
    with connection:
        asked = b""
        while b"\\r\\n\\r\\n" not in asked and (piece := connection.recv(4096)):
            asked += piece
        connection.sendall(head % len(body) + body)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
"""
"""Workers serve; the leader has the socket too, unless it closes it."""
CODE = [sys.executable, "-c", PREFORK]


@pytest.mark.parametrize(
    "command",
    [RUNNER, [*CODE, "closes"], pytest.param(CODE, marks=pytest.mark.soak)],
    ids=["runner", "workers", "leader and workers"],
)
def test_a_socket_that_a_child_has_is_had_again(host: Host, command: list[str]) -> None:
    """The next release takes its connections over, as if nobody had died."""
    port = free_port()
    host.start("app", command, port=port)
    pids = host.app("app")["pids"]
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for(50)
        kill_all(host)
        assert host.app("app")["pids"] == pids
        assert "sockets" not in host.app("app")["reason"]
        under_load.wait_for(50)
        host.declare("app", command, port=port, release="2")
        host.ok("reload", "app.toml")
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)


STRAY = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in range(3):
        os.dup2(os.open("/dev/null", os.O_RDWR), number)
    os.execv(sys.argv[1], sys.argv[1:])
os.wait()
os.open("never", os.O_RDONLY)
"""


def test_a_socket_that_cannot_be_had_again_is_named(host: Host) -> None:
    """Whoever has it belongs to no instance any more, by all that can be seen."""
    port = free_port()
    os.mkfifo(host.directory / "never")
    command = [sys.executable, "-c", STRAY, *TINY]
    host.start("app", command, port=port, directory=host.directory)
    (leader,) = host.app("app")["pids"]
    (stray,) = host.processes().keys() - {leader, *host.own_pids()}
    leave_groups(stray)
    kill_all(host)
    assert f"127.0.0.1:{port}: none of its processes" in host.app("app")["reason"]
    os.kill(stray, signal.SIGKILL)


def leave_groups(pid: int) -> None:
    """Take a process out of the control group of its instance, if it has one."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            Path(place, "cgroup.procs").write_text(str(pid))


def at_rest(host: Host) -> bool:
    """Return whether one generation is left of the app, with all its instances."""
    found = host.app("app")
    roles = [each["role"] for each in found["generations"]]
    return roles == ["serving"] and found["instances"]["ready"] == 2


@pytest.mark.soak
def test_nothing_of_gapless_survives(host: Host) -> None:
    """Supervisor, keeper and guardian at once: the next start finds what serves.

    What it could not have again is named.
    """
    port = free_port()
    more = 'instances = 2\nlog = { format = "plain" }'
    host.start("app", GOOD, port=port, more=more)
    pids, generation = host.app("app")["pids"], host.app("app")["generation"]
    with run_load(port, engine.NEW, engine.POST) as under_load:
        under_load.wait_for(50)
        kill_all(host)
        host.start_supervisor()
        until(lambda: host.app("app")["pids"] == pids, "the same instances")
        found = host.app("app")
        assert found["generation"] == generation
        assert "ENOSYS" in found["reason"]
        under_load.wait_for(50)
        host.declare("app", GOOD, port=port, release="2", more=more)
        host.ok("reload", "app.toml")
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert host.app("app")["reason"] is None
    host.ok("shutdown")
    until(lambda: not host.processes(), "nothing left")


@pytest.mark.soak
def test_nothing_of_an_earlier_boot_is_adopted(host: Host) -> None:
    """Nor a process that has only the pid of what is in a note."""
    port = free_port()
    host.start("app", GOOD, port=port)
    pids = host.app("app")["pids"]
    note = host.home / "notes" / "app.json"
    for is_other_boot in (True, False):
        kill_all(host)
        found = json.loads(note.read_text())
        if is_other_boot:
            found["boot"] = "another"
        else:
            found["app"]["generations"][0]["instances"][0]["leader_ticks"] = 1
        note.write_text(json.dumps(found))
        host.start_supervisor()
        until(lambda: host.app("app")["generation"] > 1, "a generation of its own")
        assert pids[0] in host.processes(), "what serves is left alone"
        log = (host.home / "logs" / "gapless.log").read_text()
        assert '"survivors"' not in log
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: host.app("app")["instances"]["ready"] == 1, "its port is free", 30)
