"""Programs that use the drain library, under gapless and under load."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from gapless.client import Client
from rig.hosts.host import (
    ROOT,
    SERVERS,
    Host,
)
from rig.hosts.under_way import procedures_under_way
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix, times
from rig.wait import SLOWER, free_port, until

PYTHON = str(SERVERS / "python")
(OLD_NODE,) = SERVERS.parent.glob("lib/python3*/site-packages/nodejs/bin/node")
"""Node 18, which knows no abstract names of sockets; Debian 12 has one."""
EXAMPLES = ROOT / "examples" / "drain"
NODE = ROOT / "node" / "gapless-drain" / "examples"
KEEP_ALIVE = engine.Traffic(kind="keep-alive", concurrency=4, keep_alive=True)
PAUSED = engine.Traffic(kind="paused", concurrency=4, keep_alive=True, pause_s=0.15)
SLOW = engine.Traffic(kind="slow", concurrency=2, path="/slow?s=0.4")
TRAFFICS = (engine.NEW, engine.POST, KEEP_ALIVE, PAUSED, SLOW)


def uvicorn(app: str) -> list[str]:
    """Return the command of uvicorn for an app."""
    return [PYTHON, "-m", "uvicorn", "--port", "PORT", "--no-access-log", app]


def gunicorn(*more: str) -> list[str]:
    """Return the command of gunicorn with two processes."""
    own = ["-b", "127.0.0.1:PORT", "-w", "2", "--no-control-socket"]
    return [str(SERVERS / "gunicorn"), *own, *more]


def granian(interface: str, app: str) -> list[str]:
    """Return the command of granian with two processes."""
    own = [f"--interface={interface}", "--port=PORT", "--workers=2", "--no-access-log"]
    return [str(SERVERS / "granian"), *own, app]


THREADS = ("--threads", "8", "-k", "gthread")
HANDOFFS = {
    "uvicorn": uvicorn("plain_asgi:app"),
    "gunicorn-gthread": gunicorn(*THREADS, "plain_wsgi:app"),
    "granian": granian("asgi", "plain_asgi:app"),
    "express": ["node", "express.js"],
    "fastify": ["node", "fastify.js"],
    "old-node": [str(OLD_NODE), "plain.js"],
}
FRAMEWORKS = {
    "plain-asgi": uvicorn("plain_asgi:app"),
    "plain-wsgi": gunicorn(*THREADS, "plain_wsgi:app"),
    "starlette": uvicorn("starlette_app:app"),
    "fastapi": uvicorn("fastapi_app:app"),
    "litestar": uvicorn("litestar_app:app"),
    "flask": gunicorn(*THREADS, "flask_app:app"),
    "django": gunicorn(*THREADS, "django_app:app"),
    "node": ["node", "plain.js"],
    "express": ["node", "express.js"],
    "koa": ["node", "koa.js"],
    "fastify": ["node", "fastify.js"],
    "hono": ["node", "hono.mjs"],
}


def command(argv: list[str], port: int) -> list[str]:
    """Return a command with its port filled in."""
    return [word.replace("PORT", str(port)) for word in argv]


def directory_of(argv: list[str]) -> Path:
    """Return the directory of the example that a command runs."""
    return NODE if Path(argv[0]).name == "node" else EXAMPLES


def hand_over(host: Host, argv: list[str], count: int) -> None:
    """Hand over *count* times under load with keep-alive clients; no request is lost."""
    port = free_port()
    own = command(argv, port)
    host.start("app", own, port=port, directory=directory_of(own), more="instances = 2")
    with run_load(port, *TRAFFICS) as under_load:
        under_load.wait_for_version("1")
        for release in map(str, range(2, count + 2)):
            host.declare(
                "app",
                own,
                port=port,
                release=release,
                directory=directory_of(own),
                more="instances = 2",
            )
            report = host.json("reload", "app")
            assert report["outcome"] == "done", report
            assert report["requests"]["cut"] == 0, report
            assert report["cut"] == [], report
            under_load.wait_for_version(release)
        found = under_load.stop()
    assert found.lost == 0, str(found)


@pytest.mark.parametrize("count", times(1, 10))
@pytest.mark.parametrize(
    "name",
    matrix(HANDOFFS, "uvicorn", "express"),
)
def test_handoffs_lose_nothing_on_keep_alive_connections(
    host: Host, name: str, count: int
) -> None:
    """A client, with pauses or without, reconnects after its next answer."""
    hand_over(host, HANDOFFS[name], count)


@pytest.mark.parametrize("name", matrix(FRAMEWORKS, "plain-wsgi", "node"))
def test_a_procedure_that_spans_a_release_ends_whole(host: Host, name: str) -> None:
    """A draining process finishes its procedure and begins none outside a request."""
    port = free_port()
    ledger = host.directory / "ledger"
    own = command(FRAMEWORKS[name], port)
    host.environment |= {"LEDGER": str(ledger), "BOOKS": "1"}
    began = time.monotonic()
    host.start("app", own, port=port, directory=directory_of(own))
    # The procedure must last longer than a release on this machine takes to switch.
    lasts_s = max(5.0, 4 * (time.monotonic() - began))
    answers: list[bytes] = []
    url = f"http://127.0.0.1:{port}/procedure?s={lasts_s}"

    def ask() -> None:
        with urllib.request.urlopen(url, timeout=120) as answer:
            answers.append(answer.read())

    client = threading.Thread(target=ask)
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for_version("1")
        client.start()
        until(lambda: lines(ledger, "begin"), "the procedure to begin")
        until(lambda: "close the month" in running(host), "it to be named")
        host.declare("app", own, port=port, release="2", directory=directory_of(own))
        report = host.json("reload", "app")
        client.join(120)
        under_load.wait_for_version("2")
        found = under_load.stop()
    assert found.lost == 0, str(found)
    assert report["procedures"]["cut"] == 0, report
    assert report["procedures"]["finished"] >= 1, report
    assert report["longest"]["for_s"] > 3, report
    assert answers == [answers[0]]
    assert answers[0].startswith(b"release 1")
    assert len(lines(ledger, "end")) == 1
    kept: dict[str, list[str]] = {}
    for line in ledger.read_text().splitlines():
        word, *rest = line.split()
        if word in ("book", "refused") and rest[-1] == "1":
            kept.setdefault(rest[0], []).append(word)
    # Each process is told for itself: one may begin once more when another is told.
    assert all(words == sorted(words) for words in kept.values()), kept
    assert all({*words} == {"book", "refused"} for words in kept.values()), kept
    assert kept


def running(host: Host) -> list[str]:
    """Return what runs by name; a process that is busy may not answer in time."""
    counts = host.app("app")["instances_detail"][0]["counts"] or {"running": []}
    return [each["name"] for each in counts["running"]]


def lines(ledger: Path, kind: str) -> list[str]:
    """Return the ledger's lines of one kind."""
    text = ledger.read_text() if ledger.exists() else ""
    return [line for line in text.splitlines() if line.startswith(f"{kind} ")]


def test_what_is_cut_is_named(host: Host) -> None:
    """The report names a procedure that was cut at the deadline."""
    port = free_port()
    own = command(uvicorn("plain_asgi:app"), port)
    more = "stop = { drain_timeout_s = 0.5, kill_timeout_s = 0.5 }"
    host.start("app", own, port=port, directory=EXAMPLES, more=more)
    url = f"http://127.0.0.1:{port}/procedure?s=60"
    client = subprocess.Popen(["curl", "-s", url])
    try:
        until(lambda: procedures_under_way(host), "the procedure to begin")
        done = host.gapless("restart", "app")
    finally:
        client.kill()
        client.wait()
    assert done.returncode == 0, done.stdout
    assert "1 request and 1 procedure" in done.stdout
    assert "procedure close the month after" in done.stdout


@pytest.mark.parametrize("is_listed", [True, False])
def test_what_is_cut_of_an_app_that_hangs_is_told(host: Host, is_listed: bool) -> None:
    """As it counted last, however often it was asked since; else as the kernel shows it."""
    port = free_port()
    ledger = host.directory / "ledger"
    host.environment |= {"LEDGER": str(ledger)}
    own = command(uvicorn("plain_asgi:app"), port)
    more = "stop = { drain_timeout_s = 0.5, kill_timeout_s = 0.5 }"
    host.start("app", own, port=port, directory=EXAMPLES, more=more)
    (pid,) = host.app("app")["pids"]
    argv = ["curl", "-s", f"http://127.0.0.1:{port}/procedure?s=300"]
    clients = [subprocess.Popen(argv) for _ in range(3)]
    try:
        until(lambda: len(lines(ledger, "begin")) == 3, "the requests to begin")
        if is_listed:
            until(lambda: host.row("app")["requests"] == 3, "its counts")
        os.kill(pid, signal.SIGSTOP)
        until(lambda: states(pid) == {"T"}, "each of its threads to stop")
        client = Client(str(host.home))
        for _ in range(400 if is_listed else 1):
            client.request("list")
        report = host.json("restart", "app")
    finally:
        for each in clients:
            each.kill()
            each.wait()
    cut = report["requests"]["cut"], report["connections"]["cut"]
    assert cut == ((3, 0) if is_listed else (0, 3)), report


def states(pid: int) -> set[str]:
    """Return the states of the threads of a process (proc(5))."""
    files = Path(f"/proc/{pid}/task").glob("*/stat")
    return {each.read_text().rpartition(") ")[2][0] for each in files}


@pytest.mark.parametrize("instances", matrix([1, 2, 3], 1, 2))
def test_a_recycle_under_load_answers_or_refuses_everything(
    host: Host, instances: int
) -> None:
    """Every request is served or gets the 503 of a drain."""
    port = free_port()
    own = command(uvicorn("plain_asgi:app"), port)
    more = f"overlap = false\ninstances = {instances}"
    host.start("app", own, port=port, directory=EXAMPLES, more=more)
    # A 503 does not echo the body.
    allowed = tuple(
        replace(each, expected=(200, 503), echoes=False) for each in TRAFFICS
    )
    with run_load(port, *allowed) as under_load:
        under_load.wait_for_version("1")
        host.declare("app", own, port=port, release="2", directory=EXAMPLES, more=more)
        done = host.gapless("reload", "app")
        assert done.returncode == 0, done.stdout
        under_load.wait_for_version("2")
        before = under_load.versions()["1"]
        under_load.wait_for(100)
        assert under_load.versions()["1"] == before
        found = under_load.stop()
    assert found.lost == 0, str(found)
    assert ("one instance" in done.stdout) == (instances == 1)
    described = host.app("app")
    assert described["instances"] == {"ready": instances, "wanted": instances}
    assert described["generation"] == 2
    assert [g["role"] for g in described["generations"]] == ["serving"]


@pytest.mark.parametrize("instances", matrix([1, 2], 2))
def test_a_recycle_that_does_not_come_back_takes_nothing_away(
    host: Host, instances: int
) -> None:
    """The generation before takes its seats back."""
    port = free_port()
    own = command(uvicorn("plain_asgi:app"), port)
    more = f"overlap = false\ninstances = {instances}"
    host.start("app", own, port=port, directory=EXAMPLES, more=more)
    with run_load(port, engine.Traffic(kind="new", expected=(200, 503))) as under_load:
        under_load.wait_for_version("1")
        broken = command(uvicorn("no_such_app:app"), port)
        host.declare(
            "app", broken, port=port, release="2", directory=EXAMPLES, more=more
        )
        done = host.gapless("reload", "app")
        assert done.returncode == 1, done.stdout
        assert "no_such_app" in done.stdout
        under_load.wait_for(100)
        found = under_load.stop()
    assert found.lost == 0, str(found)
    assert set(found.versions) <= {"1", ""}
    described = host.app("app")
    assert described["instances"] == {"ready": instances, "wanted": instances}
    assert described["status"] == "online"


def test_a_supervisor_that_is_killed_in_a_recycle_goes_on(host: Host) -> None:
    """The next supervisor finds the draining instance, and completes the recycle."""
    port = free_port()
    own = command(uvicorn("plain_asgi:app"), port)
    more = "overlap = false\ninstances = 2"
    host.start("app", own, port=port, directory=EXAMPLES, more=more)
    with run_load(port, engine.Traffic(kind="new", expected=(200, 503))) as under_load:
        under_load.wait_for_version("1")
        host.declare("app", own, port=port, release="2", directory=EXAMPLES, more=more)
        reload = host.begin("reload", "app")
        assert reload.stdout is not None
        for line in reload.stdout:
            if " is ready" in line:
                os.kill(host.supervisor_pid(), signal.SIGKILL)
                break
        rest = reload.communicate(timeout=60)[0]
        assert reload.returncode == 0, rest
        under_load.wait_for_version("2")
        found = under_load.stop()
    assert found.lost == 0, str(found)
    assert host.app("app")["instances"] == {"ready": 2, "wanted": 2}


def test_an_app_without_a_port_is_recycled(host: Host) -> None:
    """Two instances of an app that locks a file never run at once."""
    script = (
        "import fcntl, os, sys, time\n"
        f"lock = open('{host.directory}/lock', 'w')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "time.sleep(1000)\n"
    )
    host.configure(
        f'[app.job]\ncommand = ["python3", "-c", {json.dumps(script)}]\n'
        "min_healthy_s = 0.2\nrestart = { min_uptime_s = 0.3 }\n"
    )
    host.ok("start", "gapless.toml")
    (before,) = host.app("job")["pids"]
    assert "recycling" in host.ok("restart", "job")
    (after,) = host.app("job")["pids"]
    assert after != before


def test_a_host_drains_and_serves_again(host: Host) -> None:
    """A drained host answers 503, also from new instances, until `undrain`."""
    port = free_port()
    own = command(gunicorn(*THREADS, "plain_wsgi:app"), port)
    host.start("app", own, port=port, directory=EXAMPLES)
    slow = subprocess.Popen(
        ["curl", "-s", f"http://127.0.0.1:{port}/slow?s={1.5 * SLOWER}"],
        stdout=subprocess.PIPE,
    )
    until(lambda: host.row("app")["requests"], "the slow request")
    output = host.ok("drain")
    assert "app: drained" in output
    assert slow.wait(10 * SLOWER) == 0
    assert slow.stdout is not None
    assert slow.stdout.read().startswith(b"release 1")
    slow.stdout.close()
    refused = curl(port, "-X", "POST", "-d", "x" * 100_000)
    assert "503" in refused.splitlines()[0]
    assert "gapless-drain: recycle" in refused.lower()
    assert "retry-after: 1" in refused.lower()
    assert "connection: close" in refused.lower()
    assert "this host drains" in host.ok("list")
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    host.ok("restart", "app")
    assert "503" in curl(port).splitlines()[0]
    assert "serves again" in host.ok("undrain")
    until(lambda: "200" in curl(port).splitlines()[0], "200 again")


def test_an_undrain_right_after_a_crash_reaches_every_process(host: Host) -> None:
    """The processes are not known again yet when it is asked for."""
    port = free_port()
    own = command(uvicorn("plain_asgi:app"), port)
    host.start("app", own, port=port, directory=EXAMPLES)
    host.ok("drain")
    (pid,) = host.app("app")["pids"]
    # One that is stopped comes back late.
    os.kill(pid, signal.SIGSTOP)
    try:
        os.kill(host.supervisor_pid(), signal.SIGKILL)
        assert "serves again" in host.ok("undrain")
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: "200" in curl(port).splitlines()[0], "200 again")


@pytest.mark.parametrize("lead", matrix(["at once", "lead"], "at once"))
@pytest.mark.parametrize("more", ["", "overlap = false\ninstances = 2\n"])
def test_a_release_on_a_host_that_drains_is_asked_whether_it_is_ready(
    host: Host, lead: str, more: str
) -> None:
    """Its probe is answered as on any other host; then it refuses requests, as they do."""
    port = free_port()
    own = command(uvicorn("plain_asgi:app"), port)
    more += 'ready = { http = "/echo", timeout_s = 20 }\nmin_healthy_s = 0.5\n'
    host.start("app", own, port=port, directory=EXAMPLES, more=more)
    host.ok("drain", *(["--lead", 1] if lead == "lead" else []))
    assert "503" in curl(port).splitlines()[0]
    for release in ("2", "3"):
        host.declare(
            "app", own, port=port, release=release, directory=EXAMPLES, more=more
        )
        host.ok("reload", "app")
        until(lambda: "503" in curl(port).splitlines()[0], "503 again")
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    host.ok("stop", "app")
    host.ok("start", "app")
    until(lambda: "503" in curl(port).splitlines()[0], "503 after a first start")
    host.ok("undrain")
    until(lambda: "200" in curl(port).splitlines()[0], "200 again")


def test_draining_names_who_serves_on(host: Host) -> None:
    """A program without the drain library cannot refuse requests: exit code 1."""
    port = free_port()
    host.start("app", ["node", "app.js"], port=port)
    done = host.gapless("drain")
    assert done.returncode == 1
    assert "app: serves on" in done.stdout
    host.ok("undrain")


def curl(port: int, *more: str) -> str:
    """Return the head and the body of an answer."""
    url = f"http://127.0.0.1:{port}/echo"
    done = subprocess.run(
        ["curl", "-si", *more, url], capture_output=True, text=True, check=False
    )
    return done.stdout or "no answer"


def test_the_example_starts_as_its_page_says(host: Host, tmp_path: Path) -> None:
    """The example runs with the Python that has the drain library."""
    port = free_port()
    shutil.copytree(EXAMPLES, tmp_path / "drain")
    path = tmp_path / "drain" / "gapless.toml"
    path.write_text(path.read_text().replace("8005", str(port)))
    host.environment["PATH"] = f"{PYTHON.rpartition('/')[0]}:{host.environment['PATH']}"
    host.ok("start", path)
    until(lambda: host.json("list")["apps"][0]["requests"] is not None, "its counts")
    until(lambda: host.json("list")["apps"][0]["addresses"], "it to listen")
    assert "200" in curl(port).splitlines()[0]


MALFORMED = """
import json, os, socket, sys, time
name = os.environ["GAPLESS_SOCKET"].replace("@", chr(0), 1)
def connect():
    line = socket.socket(socket.AF_UNIX)
    line.connect(name)
    return line
for message in (b"", b"\\n", b"not json\\n", b"[1]\\n", b"[" * 60000 + b"\\n", b"x" * 70000,
               b"\\xff\\0\\n", b'{"hello": 1}\\n', b'{"hello": 1, "instance": "a/b"}\\n'):
    connect().sendall(message)
line = connect()
line.sendall(json.dumps({"hello": 1, "instance": os.environ["GAPLESS_INSTANCE"]}).encode())
line.sendall(b"\\n")
for message in (b'{"mode": 1}', b'{"mode": "serving", "requests": -1}',
               b'{"mode": "serving", "requests": true}', b'{"mode": "x", "running": 7}',
               b'{"mode": "x", "longest": {"kind": "y"}}', b'{"ready": "yes"}'):
    line.sendall(message + b"\\n")
line.sendall(b'{"mode": "serving", "requests": 3, "procedures": 1}\\n')
while True:
    order = line.recv(4096)
    if not order: sys.exit(1)
    line.sendall(b'{"mode": "serving", "requests": 3, "procedures": 1}\\n')
"""


def test_garbage_on_the_drain_socket_is_ignored(host: Host) -> None:
    """Only well-formed counts from the instance's own processes are used."""
    host.configure(
        f'[app.rude]\ncommand = ["python3", "-c", {json.dumps(MALFORMED)}]\n'
        "stop = { drain_timeout_s = 0.3 }\nrestart = { min_uptime_s = 0.3 }\n"
    )
    host.ok("start", "gapless.toml")
    until(lambda: host.json("list")["apps"][0]["requests"] == 3, "its counts")
    supervisor = host.supervisor_pid()
    (pid,) = host.app("rude")["pids"]
    environ = dict(
        entry.split("=", 1)
        for entry in Path(f"/proc/{pid}/environ").read_text().split("\0")
        if "=" in entry
    )
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(environ["GAPLESS_SOCKET"].replace("@", "\0", 1))
        hello = {"hello": 1, "instance": environ["GAPLESS_INSTANCE"]}
        counts = {"mode": "serving", "requests": 999}
        stranger.sendall(f"{json.dumps(hello)}\n{json.dumps(counts)}\n".encode())
        for _ in range(5):
            assert host.json("list")["apps"][0]["requests"] == 3
    report = host.json("restart", "rude")
    assert report["requests"] == {"finished": 0, "refused": 0, "cut": 3}
    assert host.supervisor_pid() == supervisor
