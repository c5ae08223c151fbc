"""The unit that `gapless startup` writes, under a real systemd: a user's own manager."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rig.background import BackgroundProcess
from rig.hosts import control
from rig.hosts.host import Host
from rig.load import engine
from rig.load.process import run_load
from rig.wait import free_port, until

SYSTEMD = "/lib/systemd/systemd"
# It insists that the machine was booted by systemd, which this directory says.
BOOT = (
    "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && "
    f"exec {SYSTEMD} --user --unit=basic.target"
)
UNIT = "gapless-test.service"
Systemctl = Callable[..., str]

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or not os.path.exists(SYSTEMD),
    reason="needs systemd, and root for a /run of its own",
)


@pytest.fixture
def systemctl(host: Host) -> Iterator[Systemctl]:
    """Start a manager that has the unit of the host; return what runs systemctl."""
    units, runtime = host.directory / ".config/systemd/user", host.directory / "run"
    units.mkdir(parents=True)
    runtime.mkdir(mode=0o700)
    own = host.ok("startup", "--print", "--user-manager", "--home", host.home)
    (units / UNIT).write_text(own)
    environment = {
        name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ
    }
    environment |= {"HOME": str(host.directory), "XDG_RUNTIME_DIR": str(runtime)}
    manager = BackgroundProcess(host.directory / "systemd.log")

    def run(*words: str) -> str:
        done = subprocess.run(
            ["systemctl", "--user", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stderr}{manager.output()}"
        return done.stdout.strip()

    manager.start(["unshare", "-m", "sh", "-c", BOOT], env=environment)
    try:
        private = Path(runtime, "systemd/private")
        until(lambda: private.exists() or not manager.is_running, "systemd")
        if not manager.is_running:
            pytest.skip(f"systemd does not start here: {manager.output()}")
        yield run
        run("stop", UNIT)
        run("exit")
        manager.wait(20)
    finally:
        if manager.was_started:
            manager.kill()


def test_the_unit_restarts_without_an_outage_and_stops_the_apps(
    host: Host, systemctl: Systemctl
) -> None:
    """It takes over from a command's supervisor, is restarted, crashes, is stopped."""
    port = free_port()
    host.start("app", ["node", "app.js"], port=port)
    pids = host.app("app")["pids"]

    def supervises() -> bool:
        main = systemctl("show", "-p", "MainPID", "--value", UNIT)
        found = control.ask(host.home, "ping")
        return found is not None and str(found["pid"]) == main

    with run_load(port, engine.NEW, engine.POST) as under_load:
        under_load.wait_for(20)
        systemctl("start", UNIT)
        until(supervises, "the supervisor of the unit")
        systemctl("restart", UNIT)
        until(supervises, "the next one")
        systemctl("kill", "-s", "KILL", "--kill-who", "main", UNIT)
        until(supervises, "the one after the crash")
        under_load.wait_for(20)
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert host.app("app")["pids"] == pids
    systemctl("stop", UNIT)
    assert not host.processes()
    assert host.json("list")["supervisor"] is None
    systemctl("start", UNIT)
    until(lambda: host.status("app") == "online", "the app, started by the unit")
    host.ok("shutdown")
    until(lambda: _state(systemctl) == "inactive", "the end of the unit")
    assert not host.processes()
    systemctl("start", UNIT)
    until(lambda: host.status("app") == "online", "the app, started again")


def _state(systemctl: Systemctl) -> str:
    return systemctl("show", "-p", "ActiveState", "--value", UNIT)
