"""Descriptors run out while apps serve: who asked gets an error; nothing is forgotten."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from rig.hosts import control, limits
from rig.hosts.host import GAPLESS, Host
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix
from rig.wait import SLOWER, free_port, until

GOOD = ["node", "app.js"]
NONE_LEFT = re.compile("no descriptor left|too many open files", re.IGNORECASE)


def start_sleep(host: Host, name: str) -> None:
    """Start a program that listens on nothing."""
    host.ok("start", "sleep", "--name", name, "--", "1000")


def test_a_keeper_without_descriptors_forgets_no_address(host: Host) -> None:
    """The next supervisor has them all; a reload fails by name, a later one works."""
    port = free_port()
    host.start("app", GOOD, port=port)
    pids, keeper = host.app("app")["pids"], host.keeper_pid()
    with run_load(port, engine.NEW) as under_load:
        with limits.out_of_descriptors(keeper):
            os.kill(host.supervisor_pid(), signal.SIGKILL)
            described = host.app("app")
            assert described["pids"] == pids
            assert described["addresses"] == [f"127.0.0.1:{port}"]
            assert host.keeper_pid() == keeper
            host.declare("app", GOOD, port=port, release="2")
            failed = host.gapless("reload", "app")
            assert failed.returncode == 1
            assert NONE_LEFT.search(failed.stdout + failed.stderr)
            assert host.app("app")["pids"] == pids
        host.ok("reload", "app")
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)


@pytest.mark.parametrize("free", matrix([1, 2, 3, 5, 8], 2, 8))
def test_a_keeper_that_runs_out_in_a_reload_cuts_nothing(host: Host, free: int) -> None:
    """The trial fails wherever the keeper runs out; the app serves, then reloads."""
    port = free_port()
    host.start("app", GOOD, port=port, more="ready = { timeout_s = 30 }")
    pids, keeper = host.app("app")["pids"], host.keeper_pid()
    more = f"ready = {{ timeout_s = {3 * SLOWER} }}"
    host.declare("app", GOOD, port=port, release="2", more=more)
    with run_load(port, engine.NEW) as under_load:
        with limits.out_of_descriptors(keeper, free):
            done = host.gapless("reload", "app")
            if done.returncode:
                assert host.app("app")["pids"] == pids
        host.ok("reload", "app")
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert host.keeper_pid() == keeper


def test_a_supervisor_without_descriptors_says_so_and_answers_later(host: Host) -> None:
    """Each command is answered at once; when descriptors are free, all is as before."""
    port = free_port()
    host.start("app", GOOD, port=port)
    pid, pids = host.supervisor_pid(), host.app("app")["pids"]
    with limits.out_of_descriptors(pid):
        for _ in range(3):
            failed = host.gapless("list")
            assert NONE_LEFT.search(failed.stderr), failed
            assert failed.returncode == 1
    assert host.supervisor_pid() == pid
    assert host.app("app")["pids"] == pids
    host.ok("restart", "app")


def test_clients_beyond_the_limit_are_answered_not_spun_on(host: Host) -> None:
    """Clients that ask nothing use up the descriptors; the oldest makes room for others."""
    start_sleep(host, "app")
    pid = host.supervisor_pid()
    held = []
    with limits.out_of_descriptors(pid, 3):
        try:
            for _ in range(5):
                held.append(socket.socket(socket.AF_UNIX))
                held[-1].connect(str(host.home / "supervisor.sock"))
            host.ok("list")
            before = _cpu_ticks(pid)
            host.ok("list")
            assert _cpu_ticks(pid) - before < 20, "it spins"
        finally:
            for sock in held:
                sock.close()
        until(lambda: control.ask(host.home, "ping"), "an answer")


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_start_that_runs_out_of_descriptors_leaves_none(host: Host) -> None:
    """Wherever it does, it fails by name, and an app beside it is untouched."""
    start_sleep(host, "beside")
    supervisor, keeper = host.supervisor_pid(), host.keeper_pid()
    start_sleep(host, "app")
    host.ok("delete", "app")

    def counts() -> list[int]:
        return [limits.open_descriptors(pid) for pid in (supervisor, keeper)]

    before = counts()

    def no_more() -> bool:
        # What served the last command may have been open when they were counted.
        return all(now <= then for now, then in zip(counts(), before, strict=True))

    for free in range(7):
        with limits.out_of_descriptors(supervisor, free):
            done = host.gapless("start", "sleep", "--name", "app", "--", "1000")
        if done.returncode:
            text = done.stdout + done.stderr
            assert NONE_LEFT.search(text), text
        if control.ask(host.home, "describe", app="app"):
            host.ok("delete", "app")
        until(no_more, f"no more descriptors than before: {before}")
    assert host.supervisor_pid() == supervisor
    assert host.status("beside") == "online"


def test_apps_get_the_limit_that_gapless_was_started_with(host: Host) -> None:
    """Supervisor and keeper raise their own to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(soft, 700)
    host.command_prefix = ("prlimit", f"--nofile={wanted}:{hard}")
    start_sleep(host, "app")
    (pid,) = host.app("app")["pids"]
    for own in host.own_pids():
        assert resource.prlimit(own, resource.RLIMIT_NOFILE) == (hard, hard)
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (wanted, hard)


BARRIER = """
import array, os, select, socket, sys
name = os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1)
line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for _ in range(30):
    read_end, write_end = os.pipe()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write_end]))]
    line.sendmsg([b"BARRIER=1"], rights, 0, name)
    os.close(write_end)
    if not select.select([read_end], [], [], 10)[0]:
        sys.exit("the barrier was not answered")
    os.close(read_end)
line.sendmsg([b"READY=1\\nFDSTORE=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
    array.array("i", range(3)))], 0, name)
line.sendto(b"STATUS=through", name)
import time; time.sleep(1000)
"""


def test_descriptors_that_an_app_sends_are_closed(host: Host) -> None:
    """A barrier is answered (sd_notify(3)), and nothing stays in the supervisor."""
    start_sleep(host, "beside")
    command = ["python3", "-c", BARRIER]
    more = 'ready = { when = "notify" }'
    host.declare("app", command, port=1, release="1", more=more)
    host.ok("start", "app.toml")
    until(
        lambda: host.app("app")["instances_detail"][0]["status_text"] == "through",
        "the last message",
    )
    pid = host.supervisor_pid()
    assert not [each for each in _open_files(pid) if each.startswith("pipe:")]


def test_log_paths_of_earlier_releases_are_closed(host: Host) -> None:
    """Each reload writes to another file; the keeper has no more open than before."""
    port, keeper = free_port(), 0
    for number in range(5):
        log = f'log = {{ output = "{host.directory}/{number}.log" }}'
        more = f"min_healthy_s = 0.02\n{log}"
        release = str(number)
        if number:
            host.declare("app", GOOD, port=port, release=release, more=more)
            host.ok("reload", "app")
        else:
            host.start("app", GOOD, port=port, release=release, more=more)
            keeper = host.keeper_pid()
    until(
        lambda: len([p for p in _open_files(keeper) if p.endswith(".log")]) <= 1,
        "one log",
    )


def _open_files(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


# --- texts that no program can be given -----------------------------------------------


NO_TEXTS: list[tuple[str, object, str]] = [
    ("env", {"A": "x\0y"}, "app.json.env.A is "),
    ("env", {"A": "\ud800"}, "app.json.env.A is "),
    ("env", {"A\0": "y"}, "a key of app.json.env is "),
    ("args", ["a\0b"], "app.json.args[] is "),
    ("log_date_format", "YYYY\0", "app.json.log_date_format is "),
    ("out_file", "/x/\0.log", "app.json.out_file is "),
    ("namespace", "\udc00", "app.json.namespace is "),
]


def test_a_text_that_no_program_can_be_given_is_refused_by_name(
    host: Host, subtests: pytest.Subtests
) -> None:
    """Neither process ends; the app beside it is untouched."""
    start_sleep(host, "beside")
    own = (host.supervisor_pid(), host.keeper_pid())
    for key, value, named in NO_TEXTS:
        with subtests.test(repr((key, value))):
            file = {"name": "app", "script": "/bin/sleep", "args": ["1000"], key: value}
            (host.directory / "app.json").write_text(json.dumps(file))
            failed = host.gapless("start", "app.json")
            assert failed.returncode == 2, failed
            assert named in failed.stderr, failed.stderr
    assert (host.supervisor_pid(), host.keeper_pid()) == own
    assert {row["name"] for row in host.json("list")["apps"]} == {"beside"}


def test_a_variable_that_is_not_utf_8_reaches_the_app(host: Host) -> None:
    """Its bytes are unchanged, also after a restart by another supervisor."""
    command = "printenvbytes"
    script = host.directory / command
    out = host.directory / "seen"
    script.write_text(
        "#!/usr/bin/env python3\nimport os, time\n"
        f"open({str(out)!r}, 'ab').write(os.environb[b'ODD'] + b'\\n')\n"
        "time.sleep(1000)\n"
    )
    script.chmod(0o755)
    odd = {"ODD": "a\udcff\udc80\u017c"}
    host.environment["LC_ALL"] = "C.UTF-8"
    host.ok("start", str(script), "--name", "app", environment=odd)
    line = "a\udcff\udc80\u017c\n".encode(errors="surrogateescape")
    until(lambda: out.exists() and out.read_bytes() == line, "the bytes")
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    host.ok("restart", "app")
    until(lambda: out.read_bytes() == line * 2, "the bytes again")
    state = json.loads((host.home / "state.json").read_text())
    assert state["apps"]["app"]["spec"]["environment"]["ODD"] == odd["ODD"]
    argv = [str(GAPLESS), "env", "app"]
    shown = subprocess.run(argv, env=host.environment, capture_output=True, check=True)
    assert b"ODD=" + line in shown.stdout
    assert host.json("env", "app")["ODD"] == odd["ODD"]
    assert host.gapless("describe", "app").returncode == 0
    assert host.app("app")["spec"]["environment"]["ODD"] == odd["ODD"]
