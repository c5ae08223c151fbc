"""Handoffs of unmodified programs under load: no request is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rig.hosts.host import (
    APPS,
    SERVERS,
    Host,
)
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix, times
from rig.programs import nginx
from rig.wait import free_port

PYTHON = str(SERVERS / "python")
ASGI, WSGI = "asgi_app:app", "wsgi_app:app"
SLOW = engine.Traffic(kind="slow", concurrency=2, path="/slow?s=0.4")


def gunicorn(*more: str) -> list[str]:
    """Return the command of gunicorn with two processes."""
    return [str(SERVERS / "gunicorn"), "-b", "127.0.0.1:PORT", "-w", "2", *more]


PROGRAMS = {
    "uvicorn": [PYTHON, "-m", "uvicorn", "--port", "PORT", "--no-access-log", ASGI],
    "gunicorn-sync": gunicorn(WSGI),
    "gunicorn-gthread": gunicorn("--threads", "8", WSGI),
    "gunicorn-uvicorn": gunicorn("-k", "uvicorn_worker.UvicornWorker", ASGI),
    "waitress": [
        str(SERVERS / "waitress-serve"),
        "--listen=127.0.0.1:PORT",
        "--threads=16",
        WSGI,
    ],
    "hypercorn": [str(SERVERS / "hypercorn"), "-b", "127.0.0.1:PORT", ASGI],
    "granian": [
        str(SERVERS / "granian"),
        "--interface=asgi",
        "--port=PORT",
        "--no-access-log",
        ASGI,
    ],
    "node": ["node", "app.js"],
    "perl": ["perl", "app.pl"],
    "python-threads": ["python3", "threads.py"],
}

SHORT = ("gunicorn-sync", "gunicorn-uvicorn", "node", "perl")
"""Of the others `test_takeover` shows the same, under clients that never pause."""


def command(name: str, port: int) -> list[str]:
    """Return the command of a program with its port filled in."""
    return [word.replace("PORT", str(port)) for word in PROGRAMS[name]]


def hand_over(
    host: Host, name: str, argv: list[str], port: int, count: int, **o: object
) -> None:
    """Hand a program over *count* times under load; no request is lost."""
    directory = o.get("directory", APPS)
    assert isinstance(directory, Path)
    traffics = o.get("traffics", (engine.NEW, engine.POST, SLOW))
    assert isinstance(traffics, tuple)
    host.start(name, argv, port=port, directory=directory, more="instances = 2")
    with run_load(port, *traffics) as under_load:
        under_load.wait_for_version("1")
        for release in range(2, count + 2):
            host.declare(
                name,
                argv,
                port=port,
                release=str(release),
                directory=directory,
                more="instances = 2",
            )
            host.ok("reload", name)
            under_load.wait_for_version(str(release))
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert host.app(name)["generation"] == count + 1


@pytest.mark.parametrize("count", times(1, 10))
@pytest.mark.parametrize("name", matrix(PROGRAMS, *SHORT))
def test_handoffs_lose_nothing(host: Host, name: str, count: int) -> None:
    """No new connection, POST body or slow answer is lost."""
    port = free_port()
    hand_over(host, name, command(name, port), port, count)


@pytest.mark.parametrize("count", times(1, 3))
def test_busy_cores_lose_nothing(host: Host, count: int) -> None:
    """Handoffs lose no request while two programs keep the cores busy."""
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)
    ]
    try:
        port = free_port()
        hand_over(host, "node", command("node", port), port, count)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def compile_java(directory: Path) -> None:
    """Compile the Java app into a directory."""
    shutil.copy(APPS / "App.java", directory)
    subprocess.run(["javac", "App.java"], cwd=directory, check=True, timeout=120)


@pytest.mark.parametrize("count", times(1, 10))
def test_java_loses_nothing(host: Host, tmp_path: Path, count: int) -> None:
    """Java's HTTP server binds in a thread that is not the first of its process."""
    compile_java(tmp_path)
    hand_over(host, "java", ["java", "App"], free_port(), count, directory=tmp_path)


@pytest.mark.parametrize("count", times(1, 10))
def test_nginx_loses_nothing(host: Host, tmp_path: Path, count: int) -> None:
    """A nginx master forks, and reads its port from its own configuration."""
    port = free_port()
    file = tmp_path / "nginx.conf"
    upload = engine.Traffic(
        kind="post", method="POST", concurrency=2, body_bytes=20_000
    )

    def write(release: int) -> None:
        file.write_text(nginx.answering(tmp_path, port, release, main="daemon off;"))

    write(1)
    host.start("nginx", nginx.command(tmp_path), port=port, directory=tmp_path)
    with run_load(port, engine.NEW, upload) as under_load:
        under_load.wait_for_version("1")
        for release in range(2, count + 2):
            write(release)
            host.ok("reload", "nginx")
            under_load.wait_for_version(str(release))
        report = under_load.stop()
    assert report.lost == 0, str(report)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("command", "expected"), [(["node", "app.js"], True), (["perl", "app.pl"], False)]
)
def test_a_listening_socket_blocks_only_if_its_program_wants_that(
    host: Host, command: list[str], expected: bool, count: int
) -> None:
    """Of two processes woken for one connection, the second must not block in accept."""
    port = free_port()
    host.start("app", command, port=port, more=f"instances = {count}")
    for _ in range(2):
        pids = host.app("app")["pids"]
        assert [is_nonblocking(pid, port) for pid in pids] == [expected] * count
        host.ok("restart", "app")


def is_nonblocking(pid: int, port: int) -> bool:
    """Return whether a process's listening socket has O_NONBLOCK (fcntl(2))."""
    listening = {
        fields[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if (fields := line.split())[3] == "0A"
        and int(fields[1].rpartition(":")[2], 16) == port
    }
    for name in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{name}")
        if target.startswith("socket:[") and target[8:-1] in listening:
            flags = Path(f"/proc/{pid}/fdinfo/{name}").read_text().split("flags:")[1]
            return bool(int(flags.split()[0], 8) & os.O_NONBLOCK)
    raise AssertionError(f"{pid} listens on no socket of port {port}")
