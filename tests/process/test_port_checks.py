"""Programs that connect to their port before they bind it, to see whether it is free."""

from __future__ import annotations

import os
import signal

import pytest

from rig.hosts.host import APPS, ROOT, Host
from rig.hosts.processes import stopped
from rig.load import engine
from rig.load.process import run_load
from rig.programs import npm
from rig.wait import answers, free_port, until

TRAFFIC = (engine.NEW, engine.KEEP_ALIVE)
CHECKS = "checks_port = true"


def declare(host: Host, port: int, release: int, more: str = CHECKS) -> None:
    """Write the configuration of an app that asks on both loopback addresses."""
    checks = f"[::1]:{port} 127.0.0.1:{port}"
    host.configure(
        f'[app.app]\ncommand = ["python3", "threads.py"]\ndirectory = "{APPS}"\n'
        f'environment = {{ RELEASE = "{release}", CHECKS = "{checks}",'
        f' PLACES = "[::]:{port}" }}\nmin_healthy_s = 0.3\n{more}\n',
        "app.toml",
    )


def release_under_load(host: Host, more: str, *traffic: engine.Traffic) -> int:
    """Start such an app, and see that its release loses nothing; return its port."""
    port, more = free_port(), f"{CHECKS}\n{more}"
    declare(host, port, 1, more)
    host.ok("start", "app.toml")
    with run_load(port, *traffic) as under_load:
        under_load.wait_for_version("1")
        declare(host, port, 2, more)
        host.ok("reload", "app.toml")
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    return port


@pytest.fixture
def other(host: Host) -> int:
    """Run such an app; return its port, which another program asks for."""
    port = free_port()
    declare(host, port, 1)
    host.ok("start", "app.toml")
    return port


def declare_program(host: Host, name: str, program: str, **environment: str) -> None:
    """Write a program, and the configuration of an app that runs it."""
    (host.directory / f"{name}.py").write_text(program)
    variables = ", ".join(f'{key} = "{value}"' for key, value in environment.items())
    host.configure(
        f'[app.{name}]\ncommand = ["python3", "{name}.py"]\n{CHECKS}\n'
        f"environment = {{ {variables} }}\n",
        f"{name}.toml",
    )


def test_a_program_that_checks_its_port_is_released(host: Host) -> None:
    """The old generation answers there, and so does the first of two instances."""
    port = release_under_load(host, "instances = 2", *TRAFFIC)
    assert host.app("app")["addresses"] == [f"[::]:{port}"]


@pytest.mark.soak
def test_without_the_key_the_hint_names_it(host: Host) -> None:
    """What serves goes on."""
    port = free_port()
    declare(host, port, 1, "")
    host.ok("start", "app.toml")
    declare(host, port, 2, "")
    done = host.gapless("reload", "app.toml")
    assert done.returncode == 1
    assert CHECKS in done.stdout + done.stderr
    assert answers(port)


@pytest.mark.parametrize(
    "more", ["overlap = false", pytest.param("", marks=pytest.mark.soak)]
)
def test_a_recycle_and_a_start_after_a_crash_find_the_port_free(
    host: Host, more: str
) -> None:
    """The socket of both is held, and connections wait there."""
    port = release_under_load(host, more, engine.NEW)
    (pid,) = host.app("app")["pids"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: host.app("app")["pids"] not in ([], [pid]), "another instance")
    until(lambda: answers(port), "it answers")


WAITS = """
import http.server, os, socket
for number in map(int, os.environ["OTHERS"].split()):
    try:
        found = [socket.create_connection(("127.0.0.1", number)) for _ in range(3)]
    except ConnectionRefusedError:
        found = []
    print(f"{number}: {len(found)} connections", flush=True)
address = ("127.0.0.1", int(os.environ["PORT"]))
server = http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler)
socket.create_connection(address).close()
print("own: 1 connection", flush=True)
server.serve_forever()
"""


@pytest.mark.soak
def test_a_port_of_another_app_is_answered_truly(host: Host, other: int) -> None:
    """A program that waits for its database is a client; so is one that serves."""
    nobody, port = free_port(), free_port()
    asked = f"{other} {nobody}"
    declare_program(host, "waits", WAITS, OTHERS=asked, PORT=str(port))
    for verb in ("start", "reload"):
        host.ok(verb, "waits.toml")
    log = (host.home / "logs" / "waits.log").read_text()
    assert log.count(f"{other}: 3 connections") == 2
    assert log.count(f"{nobody}: 0 connections") == 2
    assert log.count("own: 1 connection") == 2


ASKING = """
import http from 'node:http'
import used from 'tcp-port-used'
const port = Number(process.env.PORT), release = process.env.RELEASE
if (await used.check(port, '127.0.0.1')) process.exit(1)
http.createServer((_, answer) => answer.end(`release ${release}\\n`)).listen(port)
"""
SERVE = "node_modules/serve/build/main.js"


@pytest.mark.soak
@pytest.mark.parametrize("package", ["serve", "tcp-port-used"])
@pytest.mark.parametrize("overlap", ['"auto"', "false"])
def test_packages_that_check_their_port_are_released(
    host: Host, package: str, overlap: str
) -> None:
    """Three times, and nobody notices."""
    modules = npm.node_modules(ROOT / "rig" / "programs" / "port_checks")
    (host.directory / "node_modules").symlink_to(modules)
    (host.directory / "app.mjs").write_text(ASKING)
    port = free_port()

    def release(number: int) -> None:
        site = host.directory / f"site-{number}"
        site.mkdir()
        (site / "index.html").write_text(f"release {number} pid 1\n")
        serve = ["node", SERVE, "--no-clipboard", "-l", str(port), str(site)]
        argv = serve if package == "serve" else ["node", "app.mjs"]
        host.declare(
            "app",
            argv,
            port=port,
            release=str(number),
            directory=host.directory,
            more=f"{CHECKS}\noverlap = {overlap}",
        )

    release(1)
    host.start_file("app.toml", "app")
    until(lambda: answers(port), "it answers")
    with run_load(port, *TRAFFIC) as under_load:
        under_load.wait_for_version("1")
        for number in (2, 3, 4):
            release(number)
            host.ok("reload", "app.toml")
            under_load.wait_for_version(str(number))
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert host.app("app")["addresses"] == [f"[::]:{port}"]


CALLS = """
import http.server, os, socket
class Calls(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        socket.create_connection(("127.0.0.1", int(os.environ["OTHER"]))).close()
        body = b"release 1 pid 1\\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(os.environ["PORT"])), Calls).serve_forever()
"""


@pytest.mark.soak
def test_its_connections_outlive_what_fails(host: Host, other: int) -> None:
    """A keeper that dies, and a supervisor that hangs; not keeper and guardian at once."""
    port = free_port()
    declare_program(host, "calls", CALLS, OTHER=str(other), PORT=str(port))
    host.ok("start", "calls.toml")
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for(20)
        keeper = host.keeper_pid()
        os.kill(keeper, signal.SIGKILL)
        until(lambda: host.keeper_pid() not in (0, keeper), "another keeper")
        under_load.wait_for(20)
        with stopped(host.supervisor_pid()):
            under_load.wait_for(20)
        report = under_load.stop()
    assert report.lost == 0, str(report)
    _, keeper, guardian = host.own_pids()
    with stopped(guardian):  # else it may start a keeper in between
        os.kill(keeper, signal.SIGKILL)
        os.kill(guardian, signal.SIGKILL)
    named = "its new connections fail"
    until(lambda: named in host.gapless("list").stdout, "the list names it", 30)
    host.ok("reload", "calls")
    until(lambda: answers(port), "it connects again")
