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
from pathlib import Path

import pytest

from rig.hosts.host import (
    ROOT,
    SERVERS,
    Host,
)
from rig.load import engine
from rig.load.process import run_load
from rig.wait import free_port, until

PYTHON = str(SERVERS / "python")
EXAMPLES = ROOT / "examples" / "drain"
NODE = ROOT / "node" / "gapless-drain" / "examples"
KEEP_ALIVE = engine.Traffic(kind="keep-alive", concurrency=4, keep_alive=True)
PAUSED = engine.Traffic(kind="paused", concurrency=4, keep_alive=True, pause_s=0.15)
SLOW = engine.Traffic(kind="slow", concurrency=2, path="/slow?s=0.4")
TRAFFICS = (engine.NEW, engine.POST, KEEP_ALIVE, PAUSED, SLOW)


def uvicorn(app: str) -> list[str]:
    """Return the command of a uvicorn."""
    return [PYTHON, "-m", "uvicorn", "--port", "PORT", "--no-access-log", app]


def gunicorn(*more: str) -> list[str]:
    """Return the command of a gunicorn with two processes of its own."""
    own = ["-b", "127.0.0.1:PORT", "-w", "2", "--no-control-socket"]
    return [str(SERVERS / "gunicorn"), *own, *more]


def granian(interface: str, app: str) -> list[str]:
    """Return the command of a granian with two processes of its own."""
    own = [f"--interface={interface}", "--port=PORT", "--workers=2", "--no-access-log"]
    return [str(SERVERS / "granian"), *own, app]


THREADS = ("--threads", "8", "-k", "gthread")
HANDOFFS = {
    "uvicorn": uvicorn("plain_asgi:app"),
    "gunicorn-gthread": gunicorn(*THREADS, "plain_wsgi:app"),
    "granian": granian("asgi", "plain_asgi:app"),
    "express": ["node", "express.js"],
    "fastify": ["node", "fastify.js"],
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
    """Return a command on a port."""
    return [word.replace("PORT", str(port)) for word in argv]


def where(argv: list[str]) -> Path:
    """Return the directory of an example."""
    return NODE if argv[0] == "node" else EXAMPLES


def hand_over(host: Host, argv: list[str], count: int) -> None:
    """Hand over *count* times under load with keep-alive clients; nothing is lost."""
    port = free_port()
    own = command(argv, port)
    host.start("app", own, port=port, directory=where(own), more="instances = 2")
    with run_load(port, *TRAFFICS) as under_load:
        under_load.wait_for_version("1")
        for release in map(str, range(2, count + 2)):
            host.declare(
                "app",
                own,
                port=port,
                release=release,
                directory=where(own),
                more="instances = 2",
            )
            report = host.json("reload", "app")
            assert report["outcome"] == "done", report
            assert report["requests"]["cut"] == 0, report
            assert report["cut"] == [], report
            under_load.wait_for_version(release)
        found = under_load.stop()
    assert found.lost == 0, str(found)


@pytest.mark.parametrize("name", HANDOFFS)
def test_three_handoffs_lose_nothing_on_keep_alive_connections(
    host: Host, name: str
) -> None:
    """Clients that never pause, and clients that do, move with their next answer."""
    hand_over(host, HANDOFFS[name], 3)


@pytest.mark.soak
@pytest.mark.parametrize("name", HANDOFFS)
def test_ten_handoffs_lose_nothing_on_keep_alive_connections(
    host: Host, name: str
) -> None:
    """The same ten times."""
    hand_over(host, HANDOFFS[name], 10)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_procedure_that_spans_a_release_ends_whole(host: Host, name: str) -> None:
    """And none is begun outside a request once the process was told."""
    port = free_port()
    ledger = host.directory / "ledger"
    own = command(FRAMEWORKS[name], port)
    host.environment |= {"LEDGER": str(ledger), "BOOKS": "1"}
    began = time.monotonic()
    host.start("app", own, port=port, directory=where(own))
    # It has to last longer than a release takes here and now to switch.
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
        named = host.app("app")["instances_detail"][0]["counts"]["running"]
        assert "close the month" in [each["name"] for each in named]
        host.declare("app", own, port=port, release="2", directory=where(own))
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
    written = [line for line in ledger.read_text().splitlines() if line.endswith(" 1")]
    first = written.index("refused 1")
    assert "book 1" in written[:first]
    assert "book 1" not in written[first:]


def lines(ledger: Path, kind: str) -> list[str]:
    """Return the lines of a kind."""
    text = ledger.read_text() if ledger.exists() else ""
    return [line for line in text.splitlines() if line.startswith(f"{kind} ")]


def test_what_is_cut_is_named(host: Host) -> None:
    """A procedure that outlives the deadline, with its name and its age."""
    port = free_port()
    own = command(uvicorn("plain_asgi:app"), port)
    more = "stop = { drain_timeout_s = 0.5, kill_timeout_s = 0.5 }"
    host.start("app", own, port=port, directory=EXAMPLES, more=more)
    url = f"http://127.0.0.1:{port}/procedure?s=60"
    client = subprocess.Popen(["curl", "-s", url])
    try:
        until(lambda: procedures(host), "the procedure to begin")
        done = host.gapless("restart", "app")
    finally:
        client.kill()
        client.wait()
    assert done.returncode == 0, done.stdout
    assert "1 request and 1 procedure" in done.stdout
    assert "procedure close the month after" in done.stdout


def procedures(host: Host) -> int:
    """Return how many procedures `list` shows."""
    (row,) = host.json("list")["apps"]
    return int(row["procedures"] or 0)


@pytest.mark.parametrize("instances", [1, 3])
def test_a_recycle_under_load_answers_or_refuses_everything(
    host: Host, instances: int
) -> None:
    """Every request is served or gets the drain's 503; no instance runs twice."""
    port = free_port()
    own = command(uvicorn("plain_asgi:app"), port)
    more = f"overlap = false\ninstances = {instances}"
    host.start("app", own, port=port, directory=EXAMPLES, more=more)
    allowed = tuple(
        engine.Traffic(
            kind=each.kind,
            concurrency=each.concurrency,
            method=each.method,
            path=each.path,
            body_bytes=each.body_bytes,
            keep_alive=each.keep_alive,
            pause_s=each.pause_s,
            expected=(200, 503),
        )
        for each in TRAFFICS
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


@pytest.mark.parametrize("instances", [1, 2])
def test_a_recycle_that_does_not_come_back_takes_nothing_away(
    host: Host, instances: int
) -> None:
    """The version before takes its seats again."""
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
    """The next one finds who drains, and goes on."""
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
            if " ready" in line:
                os.kill(host.supervisor_pid(), signal.SIGKILL)
                break
        rest = reload.communicate(timeout=60)[0]
        assert reload.returncode == 0, rest
        under_load.wait_for_version("2")
        found = under_load.stop()
    assert found.lost == 0, str(found)
    assert host.app("app")["instances"] == {"ready": 2, "wanted": 2}


def test_an_app_without_a_port_is_recycled(host: Host) -> None:
    """Two copies of a singleton never run at once."""
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
    """503 with the header of a drain, then back; new instances drain too."""
    port = free_port()
    own = command(gunicorn(*THREADS, "plain_wsgi:app"), port)
    host.start("app", own, port=port, directory=EXAMPLES)
    slow = subprocess.Popen(
        ["curl", "-s", f"http://127.0.0.1:{port}/slow?s=1.5"], stdout=subprocess.PIPE
    )
    until(lambda: host.json("list")["apps"][0]["requests"], "the slow request")
    said = host.ok("drain")
    assert "app: drained" in said
    assert slow.wait(10) == 0
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


def test_draining_names_who_serves_on(host: Host) -> None:
    """A program without the library cannot refuse: exit code 1 says so."""
    port = free_port()
    host.start("app", ["node", "app.js"], port=port)
    done = host.gapless("drain")
    assert done.returncode == 1
    assert "app: serves on" in done.stdout
    host.ok("undrain")


def curl(port: int, *more: str) -> str:
    """Return head and body of an answer."""
    url = f"http://127.0.0.1:{port}/echo"
    done = subprocess.run(
        ["curl", "-si", *more, url], capture_output=True, text=True, check=False
    )
    return done.stdout or "no answer"


def test_the_example_starts_as_its_page_says(host: Host, tmp_path: Path) -> None:
    """With the Python in whose environment the library is."""
    port = free_port()
    shutil.copytree(EXAMPLES, tmp_path / "drain")
    path = tmp_path / "drain" / "gapless.toml"
    path.write_text(path.read_text().replace("8005", str(port)))
    host.environment["PATH"] = f"{PYTHON.rpartition('/')[0]}:{host.environment['PATH']}"
    host.ok("start", path)
    until(lambda: host.json("list")["apps"][0]["requests"] is not None, "its counts")
    assert "200" in curl(port).splitlines()[0]


INSULTS = """
import json, os, socket, sys, time
name = os.environ["GAPLESS_SOCKET"].replace("@", chr(0), 1)
def connect():
    line = socket.socket(socket.AF_UNIX)
    line.connect(name)
    return line
for insult in (b"", b"\\n", b"not json\\n", b"[1]\\n", b"[" * 60000 + b"\\n", b"x" * 70000,
               b"\\xff\\0\\n", b'{"hello": 1}\\n', b'{"hello": 1, "instance": "a/b"}\\n'):
    connect().sendall(insult)
line = connect()
line.sendall(json.dumps({"hello": 1, "instance": os.environ["GAPLESS_INSTANCE"]}).encode())
line.sendall(b"\\n")
for insult in (b'{"mode": 1}', b'{"mode": "serving", "requests": -1}',
               b'{"mode": "serving", "requests": true}', b'{"mode": "x", "running": 7}',
               b'{"mode": "x", "longest": {"kind": "y"}}', b'{"ready": "yes"}'):
    line.sendall(insult + b"\\n")
line.sendall(b'{"mode": "serving", "requests": 3, "procedures": 1}\\n')
while True:
    said = line.recv(4096)
    if not said: sys.exit(1)
    line.sendall(b'{"mode": "serving", "requests": 3, "procedures": 1}\\n')
"""


def test_garbage_on_the_drain_socket_is_ignored(host: Host) -> None:
    """What is well formed is believed, and only of the instance's own processes."""
    host.configure(
        f'[app.rude]\ncommand = ["python3", "-c", {json.dumps(INSULTS)}]\n'
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
