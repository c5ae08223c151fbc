"""Commands that only look start nothing; who supervises a home, and who comes after."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator

import pytest

from gapless import exchange
from gapless.base.errors import TimedOutError
from gapless.client import Client
from rig.background import BackgroundProcess
from rig.hosts import control, processes
from rig.hosts.host import Host
from rig.wait import until

SLEEP = (
    '[app.app]\ncommand = ["sleep", "1000"]\nmin_healthy_s = 0.1\n'
    "restart = { min_uptime_s = 0.1 }\n"
)
LOOKS = [
    ("list",),
    ("list", "--json"),
    ("jlist",),
    ("describe", "app"),
    ("describe", "app", "--json"),
    ("logs", "app"),
    ("procedures", "app"),
    ("env", "app"),
    ("pid", "app"),
    ("flush", "app"),
    ("pm2", "id", "app"),
    ("pm2", "list"),
    ("run", "app", "--", "true"),
    ("completion", "--apps"),
]
NEEDS_A_SUPERVISOR = [("pm2", "ping"), ("signal", "HUP", "app"), ("save",)]


@pytest.fixture
def supervise(host: Host) -> Iterator[BackgroundProcess]:
    """Return a `gapless supervise` that is not started yet, as a unit starts it."""
    process = BackgroundProcess(host.directory / "supervise.log")
    try:
        yield process
    finally:
        if process.was_started:
            process.kill()


def start(host: Host) -> int:
    """Start an app; return the pid of its instance."""
    host.configure(SLEEP)
    host.ok("start", "gapless.toml")
    (pid,) = host.app("app")["pids"]
    return int(pid)


def runs(host: Host) -> bool:
    """Return whether anything of gapless runs."""
    return bool(host.processes())


def test_looking_after_a_shutdown_starts_nothing(
    host: Host, supervise: BackgroundProcess, subtests: pytest.Subtests
) -> None:
    """Each command answers from the state; then the unit starts the apps."""
    start(host)
    live = host.json("list")["apps"][0], host.app("app")
    host.ok("shutdown")
    until(lambda: not runs(host), "the end of the supervisor")
    before = (host.home / "state.json").read_bytes()
    for words in LOOKS:
        with subtests.test(" ".join(words)):
            host.ok(*words)
            assert not runs(host)
    for words in NEEDS_A_SUPERVISOR:
        with subtests.test(" ".join(words)):
            done = host.gapless(*words)
            assert done.returncode == 1, done.stdout
            assert "no supervisor runs here" in done.stderr
            assert not runs(host)
    assert (host.home / "state.json").read_bytes() == before
    (row,) = host.json("list")["apps"]
    assert (row["status"], row["pids"], row["uptime_s"]) == ("stopped", [], None)
    assert set(row) == set(live[0])
    assert set(host.json("describe", "app")) == set(live[1])
    assert "no supervisor runs here" in host.ok("list")
    host.start_in_background(supervise, "supervise")
    until(lambda: host.home.joinpath("supervisor.sock").exists(), "the supervisor")
    until(lambda: host.status("app") == "online", "the app")


def test_a_shutdown_that_comes_too_late_changes_nothing(
    host: Host, supervise: BackgroundProcess
) -> None:
    """It saw a supervisor that has ended since: what ran comes back at the next boot."""
    start(host)
    host.ok("shutdown")
    until(lambda: not runs(host), "the end of the supervisor")
    before = (host.home / "state.json").read_bytes()
    assert Client(str(host.home)).request("shutdown") == {"shut_down": True}
    assert not runs(host)
    assert (host.home / "state.json").read_bytes() == before
    host.start_in_background(supervise, "supervise")
    until(lambda: host.status("app") == "online", "the app")


def test_looking_where_nothing_ever_ran(host: Host) -> None:
    """There is not even a home."""
    assert host.json("list") == {"apps": [], "supervisor": None}
    assert json.loads(host.ok("jlist")) == []
    assert host.gapless("describe", "app").returncode == 3
    assert not host.home.exists()


def test_looking_after_a_crash_takes_up_what_runs(host: Host) -> None:
    """The keeper has kept the app: then a supervisor is missing, and is started."""
    pid = start(host)
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    assert host.json("list")["apps"][0]["pids"] == [pid]


STAYS = """
trap 'while [ ! -e go ]; do sleep 0.05; done; exit' TERM
while :; do sleep 0.05; done
"""
"""It ends when it was told to, and there is a file `go`."""


@pytest.mark.parametrize("taken_back", [False, True])
def test_a_shutdown_that_dies_half_way(
    host: Host, supervise: BackgroundProcess, *, taken_back: bool
) -> None:
    """Any look finishes it; `supervise`, as a unit runs it, starts again what ran."""
    command = json.dumps(["sh", "-c", STAYS])
    host.configure(f"[app.app]\ncommand = {command}\nmin_healthy_s = 0\n", "app.toml")
    host.ok("start", "app.toml")
    (pid,) = host.app("app")["pids"]
    with host.begin("shutdown") as shutdown:
        until(lambda: host.status("app") == "stopping", "the end to begin")
        shutdown.kill()
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    if taken_back:
        host.start_in_background(supervise, "supervise")
        until(lambda: _supervisor(host) == supervise.pid, "the supervisor of the unit")
    assert host.status("app") == "stopping"
    if not taken_back:
        done = host.gapless("start", "app.toml")
        assert done.returncode == 2
        assert "a shutdown is under way" in done.stderr
    assert pid in host.processes()
    (host.directory / "go").touch()
    if not taken_back:
        host.ok("shutdown")
        until(lambda: not runs(host), "the end of the supervisor")
        host.start_in_background(supervise, "supervise")
        until(lambda: _supervisor(host) == supervise.pid, "the supervisor of the unit")
    until(lambda: host.status("app") == "online", "the app")
    assert pid not in host.processes()


def test_supervise_takes_over_from_the_supervisor_of_a_command(
    host: Host, supervise: BackgroundProcess
) -> None:
    """The app serves on; a second `supervise` is refused."""
    pid = start(host)
    first = host.supervisor_pid()
    host.start_in_background(supervise, "supervise")
    until(lambda: _supervisor(host) == supervise.pid, "the supervisor of the unit")
    assert first not in host.processes()
    assert host.app("app")["pids"] == [pid]
    second = host.gapless("supervise")
    assert second.returncode == 1
    assert f"runs already (pid {supervise.pid})" in second.stderr
    assert host.supervisor_pid() == supervise.pid
    supervise.terminate()
    assert host.app("app")["pids"] == [pid]


def _supervisor(host: Host) -> int:
    found = control.ask(host.home, "ping")
    return int(found["pid"]) if found else 0


def test_a_command_says_that_the_supervisor_is_stopped(host: Host) -> None:
    """It names the process and what helps, waits, and goes on when it does."""
    start(host)
    pid = host.supervisor_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        reload = host.begin("reload", "app")
        assert reload.stdout is not None
        said = reload.stdout.readline() + reload.stdout.readline()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert f"(pid {pid}) has not answered" in said
    assert "it is stopped (SIGSTOP)" in said
    assert f"kill -CONT {pid}" in said
    rest = reload.communicate(timeout=60)[0]
    assert reload.returncode == 0, rest


def test_a_command_does_not_wait_for_ever(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails with the reason, and code 4."""
    start(host)
    pid = host.supervisor_pid()
    for name in ("SILENT_S", "PING_S", "GIVE_UP_S"):
        monkeypatch.setattr(exchange, name, 0.1)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimedOutError, match=rf"\(pid {pid}\).*is stopped"):
            Client(str(host.home)).request("list")
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_home_that_was_removed_belongs_to_who_comes_next(
    host: Host, supervise: BackgroundProcess
) -> None:
    """The supervisor before says so, and touches neither socket nor state of the next."""
    host.ok("list")
    host.start_in_background(supervise, "supervise")
    until(lambda: _supervisor(host) == supervise.pid, "the supervisor")
    app, (_, keeper, guardian) = start(host), host.own_pids()
    note = host.home / "notes" / "app.json"
    until(
        lambda: note.exists() and '"ready"' in note.read_text(),
        "the last file that is written",  # it would appear in a directory that goes
    )
    shutil.rmtree(host.home)
    try:
        until(lambda: "was removed" in supervise.output(), "what the supervisor says")
        assert f"(pids {app})" in supervise.output()
        host.configure(SLEEP.replace("app.app", "app.next"))
        host.ok("start", "gapless.toml")
        next_pid = host.supervisor_pid()
        os.kill(app, signal.SIGKILL)  # the first one would write down the restart
        until(lambda: app not in processes.living(), "its end")
        supervise.terminate()
        assert host.supervisor_pid() == next_pid
        state = json.loads((host.home / "state.json").read_text())
        assert list(state["apps"]) == ["next"]
    finally:
        for pid in (guardian, keeper):
            os.kill(pid, signal.SIGKILL)
        left = {p: c for p, c in host.processes().items() if "sleep" in c}
        mine = set(host.app("next")["pids"])
        processes.kill_all(set(left) - mine)


def test_a_state_that_could_not_be_written_ends_nothing(host: Host) -> None:
    """It tells of a shutdown of earlier; the apps of this keeper serve on."""
    start(host)
    host.ok("shutdown")
    old = (host.home / "state.json").read_bytes()
    host.ok("start", "app")
    (pid,) = host.app("app")["pids"]
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    (host.home / "state.json").write_bytes(old)
    assert host.app("app")["pids"] == [pid]
    assert host.status("app") == "online"
