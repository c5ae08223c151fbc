"""The unit that `gapless startup` writes, under a real systemd: a user's own manager."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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


def test_a_user_installs_the_unit_of_the_users_own_systemd(
    host: Host, systemctl: Systemctl
) -> None:
    """It is enabled, and taken away again; no root is needed."""
    environment = {
        "HOME": str(host.directory),
        "XDG_RUNTIME_DIR": str(host.directory / "run"),
    }
    words = ("startup", "--user-manager", "--home", host.home)
    said = host.ok(*words, environment=environment)
    assert "systemctl --user start gapless.service" in said
    assert systemctl("is-enabled", "gapless.service") == "enabled"
    systemctl("start", "gapless.service")
    assert control.ask(host.home, "ping"), "started is: it answers"
    systemctl("stop", "gapless.service")
    host.ok(*words, "--remove", environment=environment)
    assert not (host.directory / ".config/systemd/user/gapless.service").exists()
    for wrong in (("--unit", "watch"), ("--low-ports",), ("--root", "/tmp")):
        assert host.gapless(*words, *wrong, environment=environment).returncode == 2


NOTIFIES = """
import http.server, os, socket
PORT, RELEASE = int(os.environ["PORT"]), os.environ["RELEASE"].encode()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"release %s " % RELEASE)
    def log_message(self, *_):
        pass
served = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Answer)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.sendto(b"READY=1\\nSTATUS=serves", os.environ["NOTIFY_SOCKET"])
served.serve_forever()
"""


def test_a_unit_that_hangs_is_started_anew_and_a_reload_is_one_of_the_apps(
    host: Host, systemctl: Systemctl
) -> None:
    """It is started when it answers, tells of its apps, and is ended if it hangs."""
    port, own = free_port(), host.directory / "systemd.log"
    (host.directory / f".config/systemd/user/{UNIT}.d").mkdir()
    (host.directory / f".config/systemd/user/{UNIT}.d/soon.conf").write_text(
        "[Service]\nWatchdogSec=2\n"
    )
    systemctl("daemon-reload")
    systemctl("start", UNIT)
    assert control.ask(host.home, "ping"), "started is: it answers"
    command = [sys.executable, "-c", NOTIFIES]
    host.start("app", command, port=port, more='ready = { when = "notify" }')

    def shown(name: str) -> str:
        return systemctl("show", "-p", name, "--value", UNIT)

    until(lambda: shown("StatusText") == "1 app: 1 online", "the line about the apps")
    (pid,) = host.app("app")["pids"]
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    sockets = [each for each in environment if each.startswith(b"NOTIFY_SOCKET=")]
    assert len(sockets) == 1
    assert str(host.home).encode() in sockets[0] or b"gapless" in sockets[0]
    assert not [each for each in environment if each.startswith(b"WATCHDOG_")]
    with run_load(port, engine.Traffic(kind="new", pause_s=0.01)) as under_load:
        under_load.wait_for(20)
        before = shown("MainPID")
        os.kill(int(before), signal.SIGSTOP)
        until(lambda: shown("MainPID") not in ("0", before), "the next one", 30)
        until(lambda: _state(systemctl) == "active", "that it is started")
        assert host.app("app")["pids"] == [pid]
        host.declare("app", command, port=port, release="2")
        systemctl("reload", UNIT)
        assert host.app("app")["generation"] == 2
        under_load.wait_for(20)
        assert under_load.stop().lost == 0, own.read_text()


FINISHES = """
import http.server, os, signal, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x")
    def log_message(self, *_):
        pass
at = ("127.0.0.1", int(os.environ["PORT"]))
served = http.server.ThreadingHTTPServer(at, Answer)
ends = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: threading.Timer(4.0, ends.set).start())
threading.Thread(target=served.serve_forever, daemon=True).start()
ends.wait()
"""


def test_stop_and_reload_wait_for_apps_that_finish_longer_than_the_unit_allows(
    host: Host, systemctl: Systemctl
) -> None:
    """The time-outs of the unit are for a supervisor that hangs."""
    (host.directory / f".config/systemd/user/{UNIT}.d").mkdir()
    (host.directory / f".config/systemd/user/{UNIT}.d/soon.conf").write_text(
        "[Service]\nTimeoutStopSec=2\nTimeoutStartSec=3\n"
    )
    systemctl("daemon-reload")
    systemctl("start", UNIT)
    command = [sys.executable, "-c", FINISHES]
    host.start("app", command, port=free_port())
    systemctl("reload", UNIT)
    assert host.app("app")["generation"] == 2
    systemctl("stop", UNIT)
    assert not host.processes()
    assert systemctl("show", "-p", "Result", "--value", UNIT) == "success"


def _state(systemctl: Systemctl) -> str:
    return systemctl("show", "-p", "ActiveState", "--value", UNIT)
