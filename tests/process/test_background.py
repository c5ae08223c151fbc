"""Programs that go into the background: what their first process leaves behind leads."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from rig import wait
from rig.hosts import control
from rig.hosts.host import SERVERS, Host
from rig.hosts.usage import is_alive
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix
from rig.programs import nginx

DAEMON = """
import http.server, os, sys, time
way, port = sys.argv[1], int(sys.argv[2])
class Pid(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"%d" % os.getpid()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
def fork(code=0):
    if os.fork():
        os._exit(code)
def silence():
    for number in (0, 1, 2):
        os.dup2(os.open("/dev/null", os.O_RDWR), number)
for step in way.split():
    match step:
        case "listen": server = Server(("127.0.0.1", port), Pid)
        case "fork": fork()
        case "fail": fork(3)
        case "session": os.setsid()
        case "silence": silence()
        case "late": time.sleep(1.5)  # later than the age that makes it ready
        case "helper": os.execvp("sleep", ["sleep", "1000"])
server.serve_forever()
"""
WAYS = {
    "listens, then forks": "listen fork session silence",
    "forks twice, then listens": "fork session silence fork listen",
    "listens, then forks twice": "listen silence fork session fork",
    "forks, and stays in its session": "fork listen",
    "is slow at both": "late fork session silence late listen",
    "a shell starts it": "&",
}
MEMBERSHIPS = ["cgroups", "without"]


@pytest.fixture(params=MEMBERSHIPS)
def membership(request: pytest.FixtureRequest, host: Host) -> str:
    """Run each test with control groups, where they can be made, and without."""
    if request.param == "without":
        host.environment["GAPLESS_CGROUPS"] = "off"
    return str(request.param)


def _declare(host: Host, way: str, more: str = "") -> int:
    """Write the configuration of a daemon; return its port."""
    port = wait.free_port()
    program = host.directory / "daemon.py"
    program.write_text(DAEMON)
    command = [sys.executable, str(program), way, str(port)]
    if way == "&":
        command[2] = "listen silence"
        command = ["sh", "-c", f"{shlex.join(command)} &"]
    text = f"[app.daemon]\ncommand = {json.dumps(command)}\nmin_healthy_s = 0.3\n{more}"
    host.configure(text)
    return port


def _leader(port: int) -> int:
    """Return the pid of the process that answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def _leads(host: Host, pid: int) -> bool:
    return bool(host.app("daemon")["pids"] == [pid])


@pytest.mark.usefixtures("membership")
@pytest.mark.parametrize(
    ("membership", "way"),
    matrix(
        [(each, way) for each in MEMBERSHIPS for way in WAYS],
        ("without", "listens, then forks"),
        ("cgroups", "forks twice, then listens"),
    ),
    indirect=["membership"],
)
def test_it_lives_as_every_other_program_does(host: Host, way: str) -> None:
    """It starts, is adopted, handed over, replaced when it dies, and ends wholly."""
    port = _declare(host, WAYS[way])
    host.start_file("gapless.toml", "daemon")
    first = _leader(port)
    wait.until(lambda: _leads(host, first), "the process that listens to lead")
    (detail,) = host.app("daemon")["instances_detail"]
    assert detail["background"]

    os.kill(host.supervisor_pid(), signal.SIGKILL)
    host.start_supervisor()
    assert _leads(host, first)

    host.ok("reload", "daemon")
    assert not is_alive(first)
    second = _leader(port)
    wait.until(lambda: _leads(host, second), "the new generation's daemon to lead")

    os.kill(second, signal.SIGKILL)
    wait.until(lambda: host.row("daemon")["restarts"] == 1, "its end to be seen")
    wait.until(lambda: host.row("daemon")["instances"]["ready"] == 1, "another one")
    third = _leader(port)
    wait.until(lambda: _leads(host, third), "the third daemon to lead")

    assert host.app("daemon")["exit_code"] == -signal.SIGKILL
    host.ok("stop", "daemon")
    assert not is_alive(third)


@pytest.mark.usefixtures("membership")
@pytest.mark.parametrize("membership", matrix(MEMBERSHIPS, "cgroups"), indirect=True)
def test_what_listens_nowhere_leads_nothing(host: Host) -> None:
    """A command that leaves a helper behind has not started; the helper ends too."""
    _declare(host, "fork session helper", "ready = { timeout_s = 2 }\n")
    done = host.gapless("start", "gapless.toml")
    assert done.returncode == 1
    assert "left processes behind, none of which listens" in done.stdout + done.stderr
    host.ok("stop", "daemon")


def test_what_a_job_leaves_behind_is_named(host: Host) -> None:
    """The job has ended; a process of it that listens counts as the app, and is told."""
    port = _declare(host, "fork session listen", "restart = { automatic = false }\n")
    host.start_file("gapless.toml", "daemon")
    pid = _leader(port)
    wait.until(lambda: _leads(host, pid), "the process that listens to lead")
    found = host.app("daemon")
    (detail,) = found["instances_detail"]
    assert found["reason"] == (
        f"its command has ended with code 0; {detail['leader']} (pid {pid}) was left "
        f"behind and listens"
    )
    assert f"in the background ({detail['leader']})" in host.ok("describe", "daemon")


def test_a_leader_that_ends_with_an_error_has_crashed(host: Host) -> None:
    """What it leaves behind ends, though it listens."""
    _declare(host, "listen fail session", "restart = { max = 0 }\n")
    host.gapless("start", "gapless.toml")
    wait.until(lambda: host.status("daemon") != "online", "it to be given up")
    assert "exited with code 3" in str(host.app("daemon")["reason"])


@pytest.mark.usefixtures("membership")
@pytest.mark.parametrize(
    ("membership", "program"),
    matrix(
        [(each, name) for each in MEMBERSHIPS for name in ("nginx", "gunicorn")],
        ("cgroups", "nginx"),
    ),
    indirect=["membership"],
)
def test_a_handoff_of_a_daemon_loses_nothing(
    host: Host, tmp_path: Path, program: str
) -> None:
    """Nginx as it is by default, and gunicorn --daemon, with two instances each."""
    port, file = wait.free_port(), tmp_path / "nginx.conf"
    gunicorn = [str(SERVERS / "gunicorn"), "--daemon", "-b", f"127.0.0.1:{port}"]
    argv = [*gunicorn, "-w", "2", "wsgi_app:app"]
    if program == "nginx":
        argv = nginx.command(tmp_path)

    def write(release: int) -> None:
        file.write_text(nginx.answering(tmp_path, port, release, main=""))
        host.declare(
            program, argv, port=port, release=str(release), more="instances = 2"
        )

    write(1)
    host.start_file(f"{program}.toml", program)
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for_version("1")
        write(2)
        host.ok("reload", program)
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    found = host.app(program)
    assert found["restarts"] == 0
    assert len(found["pids"]) == 2
    assert found["processes"] == 6  # a master with two workers, twice
    host.ok("stop", program)
    assert control.ask(host.home, "list")["apps"][0]["processes"] == 0
