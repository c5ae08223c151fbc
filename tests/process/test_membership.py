"""Which processes are an instance's: with control groups, and where there are none."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import pytest

from rig import wait
from rig.hosts import control
from rig.hosts.host import Host
from rig.hosts.usage import is_alive

WAYS = ["cgroups", "without"]
LEAVES = """
import os, signal, socket, sys, time
where, port = sys.argv[1], int(sys.argv[2])
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    open(where + ".part", "w").write(str(os.getpid()))
    os.rename(where + ".part", where)
    while True:
        time.sleep(3600)
os.wait()
sock = socket.socket()
sock.bind(("127.0.0.1", port))
sock.listen()
signal.pause()
"""
"""Leaves a process behind that has left its parent and its session."""
CHAIN = """
import os, signal, socket, sys, time
where, port = sys.argv[1], int(sys.argv[2])
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for link in range(20000):
        if os.path.exists(where + ".end"):
            break
        if os.fork():
            os._exit(0)
        open(where + ".part", "w").write(str(os.getpid()))
        os.rename(where + ".part", where)
    os._exit(0)
sock = socket.socket()
sock.bind(("127.0.0.1", port))
sock.listen()
signal.pause()
"""
"""Leaves a chain of processes: each lives until it has started the next one."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, host: Host) -> str:
    """Run each test with control groups, where they can be made, and without."""
    if request.param == "without":
        host.environment["GAPLESS_CGROUPS"] = "off"
    return str(request.param)


def _start(host: Host, name: str, text: str, more: str = "") -> Path:
    """Start an app of two words, its own file and its port; return the file."""
    program, where = host.directory / f"{name}.py", host.directory / f"{name}.pid"
    program.write_text(text)
    command = [sys.executable, str(program), str(where), str(wait.free_port())]
    host.configure(
        f"[app.{name}]\ncommand = {json.dumps(command)}\n{more}", f"{name}.toml"
    )
    host.ok("start", f"{name}.toml")
    wait.until(where.exists, f"{name} to have started another process")
    return where


def _uses_groups(host: Host) -> bool:
    found = control.ask(host.home, "list")
    return found["supervisor"]["mechanisms"]["cgroups"] is True


def test_the_way_is_told(host: Host, way: str) -> None:
    """`list` and `doctor` say whether instances have control groups, and why not."""
    _start(host, "leaves", LEAVES)
    found = control.ask(host.home, "list")["supervisor"]["mechanisms"]["cgroups"]
    if way == "without":
        assert found == "GAPLESS_CGROUPS is off"
    elif os.geteuid() == 0 and os.path.exists("/sys/fs/cgroup/unified/cgroup.procs"):
        assert found is True


@pytest.mark.usefixtures("way")
def test_a_stop_ends_what_has_left_its_parent_and_its_session(host: Host) -> None:
    """A process that forked twice is the instance's, and ends with it."""
    where = _start(host, "leaves", LEAVES)
    left = int(where.read_text())
    (row,) = control.ask(host.home, "list")["apps"]
    assert row["processes"] == 2
    host.ok("stop", "leaves")
    assert not is_alive(left)


@pytest.mark.usefixtures("way")
def test_a_stop_is_done_when_a_chain_of_processes_has_ended(host: Host) -> None:
    """Processes that start the next one and end are never all seen, and still end."""
    where = _start(host, "chain", CHAIN, "stop = { kill_timeout_s = 0.3 }\n")
    try:
        host.ok("stop", "chain")
        last = where.read_text()
        assert not is_alive(int(last))
        assert where.read_text() == last
    finally:
        Path(f"{where}.end").touch()


@pytest.mark.usefixtures("way")
def test_an_environment_makes_nobody_a_member(host: Host) -> None:
    """A process that names another app's instance there stays its own app's."""
    _start(host, "victim", LEAVES)
    described = control.ask(host.home, "describe", app="victim")
    generation = described["instances_detail"][0]["generation"]
    named = f"victim/{generation}/0/1"
    text = LEAVES.replace(
        "    open(where",
        f"    os.environ['GAPLESS_INSTANCE'] = {named!r}\n    open(where",
    )
    sleep = "import time; time.sleep(3600)"
    again = f"    os.execv(sys.executable, [sys.executable, '-c', {sleep!r}])\n"
    text = text.replace("    while True:\n        time.sleep(3600)\n", again)
    where = _start(host, "other", text)
    other = int(where.read_text())
    environment = Path(f"/proc/{other}/environ")
    wait.until(
        lambda: named.encode() in environment.read_bytes(), "it claims to be another"
    )
    host.ok("stop", "victim")
    assert is_alive(other)
    rows = {row["name"]: row for row in control.ask(host.home, "list")["apps"]}
    assert rows["other"]["processes"] == 2
    host.ok("stop", "other")
    assert not is_alive(other)


def test_groups_outlive_a_supervisor_and_end_with_their_instances(host: Host) -> None:
    """A next supervisor finds the members; no directory is left by anybody."""
    where = _start(host, "leaves", LEAVES)
    if not _uses_groups(host):
        pytest.skip("no control group can be made here")
    left = int(where.read_text())
    line = Path(f"/proc/{left}/cgroup").read_text().splitlines()
    group = next(each[3:] for each in line if each.startswith("0::"))
    assert group.endswith("/leaves:1:0:1")
    os.kill(host.supervisor_pid(), 9)
    (row,) = json.loads(host.ok("list", "--json"))["apps"]
    assert row["processes"] == 2
    host.ok("reload", "leaves")
    assert not is_alive(left)
    directories = [
        path
        for path in Path("/sys/fs/cgroup").glob(f"**/{Path(group).parent.name}")
        if path.is_dir()
    ]
    with contextlib.suppress(FileNotFoundError):
        assert [
            each.name
            for path in directories
            for each in path.iterdir()
            if each.is_dir()
        ] == ["leaves:2:0:2"]
    host.ok("shutdown")
    assert not any(path.exists() for path in directories)
