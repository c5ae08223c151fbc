"""A supervisor or a keeper that hangs: SIGSTOP, a debugger, a machine that swaps.

No app waits for it, and commands say which process does not answer, and why.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys

import pytest

from gapless.base.kernel import conditions
from rig.hosts import control
from rig.hosts.host import Host
from rig.hosts.processes import stopped
from rig.load import engine
from rig.load.process import run_load
from rig.wait import answers, free_port, until

APP = """
import http.server, os, socket, sys

PATH = os.environ["SOCKET"]


def notify(count, last=b"STATUS=the last"):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # it blocks, as that of systemd
    sock.connect(os.environ["NOTIFY_SOCKET"])
    for number in range(count):
        sock.send(b"STATUS=%d" % number)
    sock.send(last)


def listen_on_path():
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(PATH)
    sock.listen(64)
    return sock


def act(name, _, word):
    if name == "log":
        print("\\n".join(["x" * 9999] * 400))
    elif name == "notify":
        notify(int(word))
    elif name == "bind":
        kept.append(socket.create_server(("127.0.0.1", int(word)), backlog=1))
    elif name == "connect":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(PATH)
            paths[-1].accept()[0].close()
    elif name == "unlink":
        os.unlink(PATH)
        paths.append(listen_on_path())
    elif name == "channel":
        line = b'{"type": "axm:monitor", "data": {"n": "' + b"x" * 900 + b'"}}\\n'
        channel = socket.socket(fileno=os.dup(int(os.environ["NODE_CHANNEL_FD"])))
        channel.setblocking(False)  # as Node's
        try:
            while True:
                channel.send(line)
        except BlockingIOError:
            pass


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        act(*self.path[1:].partition("/"))
        self.answer()

    def answer(self, sent=b""):
        body = b"release %s " % os.environ["RELEASE"].encode() + sent
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_):
        pass


kept, paths = [], []
if "GATE" in os.environ:
    notify(40, b"READY=1")
    notify(40)
if os.environ["SOCKET"]:
    paths.append(listen_on_path())
port = int(os.environ["PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""
CALM = engine.Traffic(kind="new", pause_s=0.02)


def declare(host: Host, port: int, release: str = "1", **variables: str) -> None:
    """Write the configuration of the app above."""
    own = {"PORT": str(port), "RELEASE": release, "SOCKET": "", **variables}
    shown = ", ".join(f"{name} = {json.dumps(value)}" for name, value in own.items())
    command = json.dumps([sys.executable, str(host.directory / "app.py")])
    (host.directory / "app.py").write_text(APP)
    host.configure(
        f"[app.app]\ncommand = {command}\nmin_healthy_s = 0.3\n"
        f"environment = {{ {shown} }}\n"
    )


def ask(port: int, path: str) -> None:
    """Let the app do something; it answers when it has done it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert (answer.status, answer.read()[:7]) == (200, b"release"), path


def test_no_program_waits_for_a_supervisor_that_hangs(host: Host) -> None:
    """Not in bind, connect or unlink, not in its log, its notify or Node's channel."""
    port, other = free_port(), free_port()
    declare(host, port, SOCKET=str(host.directory / "app.sock"))
    host.start_file("gapless.toml", "app")
    pids, supervisor = host.app("app")["pids"], host.supervisor_pid()
    with run_load(port, CALM, engine.Traffic(kind="post", pause_s=0.02)) as under_load:
        under_load.wait_for(20)
        with stopped(supervisor):
            for path in (
                *("/log", "/notify/200", "/connect", "/unlink"),
                *(f"/bind/{other}", "/connect", "/notify/200"),
            ):
                ask(port, path)
            under_load.wait_for(50)

        def says_the_last() -> bool:
            described = json.dumps(host.app("app"))
            return '"the last"' in described

        until(says_the_last, "what was notified meanwhile")
        assert host.app("app")["pids"] == pids
        declare(host, port, "2", SOCKET=str(host.directory / "app.sock"))
        host.ok("reload", "gapless.toml")
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)


@pytest.mark.soak
def test_a_program_is_ready_that_said_so_to_nobody(host: Host) -> None:
    """It notifies while the supervisor hangs, and while there is none."""
    gate = 'ready = { when = "notify", timeout_s = 90 }\n'
    port = free_port()
    declare(host, port, GATE="1")
    path = host.directory / "gapless.toml"
    path.write_text(path.read_text() + gate)
    host.start_supervisor()
    with stopped(host.keeper_pid()):  # it starts the app once the supervisor is stopped
        start = host.begin("start", "gapless.toml")
        until(lambda: control.ask(host.home, "list")["apps"], "the request")
        os.kill(host.supervisor_pid(), signal.SIGSTOP)
        supervisor = conditions.holder_of_lock(str(host.home / "supervisor.lock"))
    try:
        until(lambda: answers(port), "the app, which has notified 82 times", 60)
    finally:
        os.kill(supervisor, signal.SIGCONT)
    output = start.communicate(timeout=60)[0]
    assert start.returncode == 0, output


def test_commands_say_that_the_keeper_is_stopped(host: Host) -> None:
    """`list` answers at once; a release waits, says for whom, and goes on."""
    port = free_port()
    declare(host, port)
    host.start_file("gapless.toml", "app")
    keeper = host.keeper_pid()
    with stopped(keeper):
        listed = host.ok("list")
        with host.begin("reload", "app") as reload:
            assert reload.stdout is not None
            said = "".join(reload.stdout.readline() for _ in range(3))
            os.kill(keeper, signal.SIGCONT)
            rest = reload.communicate(timeout=60)[0]
    for text in (listed, said):
        assert f"the keeper (pid {keeper}) has not answered" in text
        assert "it is stopped (SIGSTOP)" in text
        assert f"kill -CONT {keeper}" in text
    assert reload.returncode == 0, rest


@pytest.mark.soak
def test_commands_say_that_a_debugger_holds_the_supervisor(host: Host) -> None:
    """They name the process that traces it."""
    host.start_supervisor()
    pid = host.supervisor_pid()
    code = (
        "import ctypes, sys, signal\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "for request in 0x4206, 0x4207:\n"  # PTRACE_SEIZE, PTRACE_INTERRUPT
        "    assert libc.ptrace(request, int(sys.argv[1]), None, None) == 0\n"
        "print('holds', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as debugger:
        assert debugger.stdout is not None
        if debugger.stdout.readline() != "holds\n":
            pytest.skip("no process may be traced here")
        with host.begin("list") as command:
            assert command.stdout is not None
            said = command.stdout.readline() + command.stdout.readline()
            debugger.kill()  # what it held goes on
            rest = command.communicate(timeout=60)[0]
    assert f"(pid {pid}) has not answered" in said
    assert f"traced by the process {debugger.pid} (python" in said
    assert command.returncode == 0, rest


@pytest.mark.soak
def test_a_supervisor_is_not_started_where_the_keeper_hangs(host: Host) -> None:
    """The command says so; the app serves, and the next one takes over when it can."""
    port = free_port()
    declare(host, port)
    host.start_file("gapless.toml", "app")
    pids, keeper = host.app("app")["pids"], host.keeper_pid()
    with run_load(port, CALM) as under_load, stopped(keeper):
        os.kill(host.supervisor_pid(), signal.SIGKILL)
        done = host.gapless("list")
        assert done.returncode == 1, done.stderr
        assert f"the keeper (pid {keeper})" in done.stderr
        assert "it is stopped (SIGSTOP)" in done.stderr
        under_load.wait_for(20)
        assert under_load.stop().lost == 0
    assert host.json("list")["apps"][0]["pids"] == pids


CRASHES = """
import sys
sys.path.insert(0, sys.argv[1])
from gapless.supervisor import loop, run
def crash(*_):
    raise RuntimeError("a fault of a test")
loop.Loop.run = crash
run.main(sys.argv[2:])
"""
COMMAND = """
import os, sys
import gapless.__main__
from gapless.base import interpreter
package = os.path.dirname(os.path.dirname(gapless.__file__))
interpreter.python = lambda _, words: [
    sys.executable, "-I", "-S", "-c", sys.argv[1], package, *words
]
sys.exit(gapless.__main__.main(["list"]))
"""
"""The command `gapless list`, but the supervisor that it starts crashes at once."""


def test_a_supervisor_that_crashes_at_once_takes_nothing_with_it(host: Host) -> None:
    """It is tried a few times; then commands say when the next attempt is, and why."""
    port = free_port()
    declare(host, port)
    host.start_file("gapless.toml", "app")
    pids, keeper = host.app("app")["pids"], host.keeper_pid()
    supervisor = host.supervisor_pid()
    with run_load(port, CALM) as under_load:
        os.kill(
            supervisor, signal.SIGTERM
        )  # an orderly end: a short life is none of these
        until(lambda: not os.path.exists(f"/proc/{supervisor}"), "its end")
        assert "times and closed the connection" in _list_with_crashes(host)
        said = _list_with_crashes(host)
        assert "times in a row right after its start (RuntimeError: a fault" in said
        until(lambda: host.gapless("list").returncode == 0, "a supervisor", 30)
        under_load.wait_for(20)
        assert under_load.stop().lost == 0
    assert host.app("app")["pids"] == pids
    assert host.keeper_pid() == keeper
    errors = host.home / "logs" / "supervisor.err"
    assert "a fault of a test" in errors.read_text()
    errors.write_text("")  # nothing else was a surprise


def _list_with_crashes(host: Host) -> str:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, CRASHES],
        env=host.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return done.stderr
