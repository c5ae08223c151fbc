"""Answers that take their time, of unmodified programs: what is whole, cut or unknown."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.hosts.host import SERVERS, Host
from rig.load.download import Download, slow_upload
from rig.matrix import matrix
from rig.wait import free_port, until

PYTHON = str(SERVERS / "python")
PROGRAMS = {
    "uvicorn": [PYTHON, "-m", "uvicorn", "--port", "PORT", "streams_asgi:app"],
    "gunicorn-gthread": [
        *(str(SERVERS / "gunicorn"), "-b", "127.0.0.1:PORT", "--threads", "8"),
        "streams_wsgi:app",
    ],
    "threads": ["python3", "streams_threads.py"],
    "hypercorn": [
        str(SERVERS / "hypercorn"),
        "-b",
        "127.0.0.1:PORT",
        "streams_asgi:app",
    ],
    "tls": [
        *(PYTHON, "-m", "uvicorn", "--port", "PORT", "streams_asgi:app"),
        *("--ssl-keyfile", "KEY", "--ssl-certfile", "CERTIFICATE"),
    ],
}
HTTP1 = ("uvicorn", "gunicorn-gthread", "threads")
LONG = "/pieces?n=50&gap=0.1"
"""Five seconds, in pieces that come close to each other."""
SPARSE = "/pieces?n=4&gap=1.5"
"""Longer than any program is given after its stop signal here, in pieces far apart."""
LATE = "/late?gap=4"
KILL_S = 1


def new_certificate(directory: Path) -> dict[str, str]:
    """Write a key and its certificate; return their paths."""
    found = {"KEY": f"{directory}/key.pem", "CERTIFICATE": f"{directory}/cert.pem"}
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-keyout", found["KEY"]),
            *("-out", found["CERTIFICATE"]),
        ],
        check=True,
        capture_output=True,
    )
    return found


class App:
    """An app, and what is asked of it."""

    def __init__(self, host: Host, name: str, drain_s: float, more: str) -> None:
        self.host, self.port = host, free_port()
        words = {"PORT": str(self.port)}
        if "KEY" in PROGRAMS[name]:
            words |= new_certificate(host.directory)
        self._argv = [words.get(word, word) for word in PROGRAMS[name]]
        self._argv = [word.replace("PORT", words["PORT"]) for word in self._argv]
        stop = f"drain_timeout_s = {drain_s}, kill_timeout_s = {KILL_S}"
        self._more = f"stop = {{ {stop} }}\n{more}"
        self._declare("1")
        host.start_file("app.toml", "app")
        self._downloads: list[Download] = []

    def _declare(self, release: str) -> None:
        self.host.declare(
            *("app", self._argv),
            port=self.port,
            release=release,
            more=f"{self._more}\nmin_healthy_s = 0.5",
        )

    def begin(self, path: str, **options: Any) -> Download:
        """Ask for an answer; return when it has begun."""
        found = Download(self.port, path, **options)
        self._downloads.append(found)
        if "late" not in path:
            until(found.has_begun, "the answer to begin")
        return found

    def reload(self) -> dict[str, Any]:
        """Release the app again; return the report."""
        self._declare("2")
        report: dict[str, Any] = self.host.json("reload", "app.toml")
        assert report["outcome"] == "done", report
        return report

    def open_connections(self) -> int:
        """Return how many connections its instances have."""
        found = self.host.app("app")["instances_detail"]
        return sum(each["connections"] for each in found)

    def begin_reload(self) -> subprocess.Popen[str]:
        """Begin to release the app again."""
        self._declare("2")
        return self.host.begin("reload", "app.toml")

    def drains(self) -> bool:
        """Return whether the old generation finishes what it began."""
        found = self.host.app("app")["generations"]
        return "retiring" in [each["role"] for each in found]

    def end_reload(self, reload: subprocess.Popen[str]) -> dict[str, Any]:
        """Return the report of a reload that was begun."""
        said, _ = reload.communicate(timeout=90)
        assert reload.returncode == 0, said
        report: dict[str, Any] = self.host.app("app")["last_report"]
        return report

    def close(self) -> None:
        """Close every connection: until then each of them stays open."""
        for each in self._downloads:
            each.close()

    def connections(self, report: dict[str, Any]) -> dict[str, int]:
        """Return how the connections of a report ended."""
        found: dict[str, int] = report["connections"]
        ends = found["finished"] + found["cut"] + found["unknown"]
        assert found["seen"] == ends, found
        return found


@pytest.fixture
def started(host: Host) -> Iterator[Callable[..., App]]:
    """Return what starts an app; its clients hang up at the end."""
    apps: list[App] = []

    def start(name: str, drain_s: float = 60, more: str = "") -> App:
        apps.append(App(host, name, drain_s, more))
        return apps[-1]

    yield start
    for each in apps:
        each.close()


@pytest.mark.parametrize("name", matrix(HTTP1, "uvicorn"))
def test_what_is_written_piece_by_piece_is_whole(
    started: Callable[..., App], name: str
) -> None:
    """Between two pieces an answer looks idle; so it does before the first one."""
    app = started(name)
    answers = [app.begin(path) for path in (LONG, SPARSE, LATE)]
    found = app.connections(app.reload())
    assert [answer.wait() for answer in answers] == [True] * 3
    assert (found["seen"], found["cut"]) == (3, 0), found


@pytest.mark.parametrize("name", matrix(HTTP1, "gunicorn-gthread"))
def test_a_download_beside_an_upload_is_whole(
    started: Callable[..., App], name: str
) -> None:
    """The end of one is not the end of the other."""
    app = started(name)
    download = app.begin(LONG)
    upload = app.begin("/late?gap=0", upload=slow_upload(2))
    found = app.connections(app.reload())
    assert upload.wait()
    assert download.wait()
    assert found["cut"] == 0, found


@pytest.mark.parametrize("name", HTTP1)
def test_what_outlasts_the_drain_is_reported_as_the_client_saw_it(
    started: Callable[..., App], name: str
) -> None:
    """After the stop signal it goes on as long as its program lets it."""
    app = started(name, drain_s=1)
    answers = [app.begin("/pieces?n=200&gap=0.1") for _ in range(3)]
    found = app.connections(app.reload())
    whole = [answer.wait() for answer in answers]
    assert whole == [False] * 3
    assert (found["seen"], found["cut"]) == (3, 3), found


def test_an_idle_connection_holds_nothing_up(started: Callable[..., App]) -> None:
    """One that was silent for long is finished; one that has just answered is not known."""
    app = started("uvicorn")
    old = app.begin("/pieces?n=1")
    assert old.wait()
    began = time.monotonic()
    report = app.reload()
    took_s = time.monotonic() - began
    found = app.connections(report)
    assert found["seen"] == 1
    assert found["cut"] == 0
    steps = {step["step"]: step["at_s"] for step in report["steps"]}
    assert steps["stopping"] - steps["draining"] < 30, json.dumps(report["steps"])
    assert took_s < 60


WEBSOCKET = """
import sys
from websockets.sync.client import connect
with connect(sys.argv[1].replace("http", "ws")) as line:
    print(sum(len(message) for message in line))
"""
CURL = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{size_download}"]
CLIENTS = {
    "http2": ("hypercorn", [*CURL, "--http2-prior-knowledge", "http:URL"]),
    "tls": ("tls", [*CURL, "--insecure", "https:URL"]),
    "websocket": ("uvicorn", [PYTHON, "-c", WEBSOCKET, "http:URL"]),
}


@pytest.mark.parametrize("kind", CLIENTS)
def test_other_protocols_are_waited_for_too(
    started: Callable[..., App], kind: str
) -> None:
    """Whatever the bytes mean, they go on."""
    name, client = CLIENTS[kind]
    app = started(name)
    url = f"://127.0.0.1:{app.port}/pieces?n=40&gap=0.1"
    argv = [word.replace(":URL", url) for word in client]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        until(app.open_connections, "its connection")
        found = app.connections(app.reload())
        said, _ = process.communicate(timeout=60)
    assert int(said) == 40_000
    assert found["cut"] == 0, found


def test_a_recycle_keeps_new_connections_waiting_for_no_idle_one(
    started: Callable[..., App],
) -> None:
    """One whose last answer came late may carry more, and is not waited for."""
    app = started("threads", more="overlap = false")
    answer = app.begin("/late?gap=0.5")
    assert answer.wait()
    (stopping,) = [s for s in app.reload()["steps"] if s["step"] == "stopping"]
    assert stopping["detail"].endswith("idle"), stopping


def test_what_its_client_has_closed_is_finished(started: Callable[..., App]) -> None:
    """Also if it moved a moment before, and nothing else is left to look at."""
    app = started("threads")
    busy = app.begin("/late?gap=3")
    app.begin("/pieces?n=1").wait()
    reload = app.begin_reload()
    until(app.drains, "the drain to begin")
    app.close()
    assert not busy.wait()
    found = app.connections(app.end_reload(reload))
    counted = {key: found[key] for key in ("seen", "finished", "cut", "unknown")}
    assert counted == {"seen": 2, "finished": 2, "cut": 0, "unknown": 0}


def test_a_slow_reader_is_waited_for(started: Callable[..., App]) -> None:
    """Its window is closed: what waits to be sent is not sent."""
    app = started("uvicorn")
    with socket.create_connection(("127.0.0.1", app.port)) as line:
        line.sendall(b"GET /pieces?n=20000 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(app.open_connections, "its connection")
        reload = app.begin_reload()
        until(app.drains, "the drain to begin")
        received = 0
        while received < 20_000_000:
            received += len(line.recv(1 << 20))
    assert app.connections(app.end_reload(reload))["cut"] == 0


def test_a_reader_that_stopped_is_cut_and_counted(started: Callable[..., App]) -> None:
    """Nobody waits for it longer than drain_timeout_s."""
    app = started("uvicorn", drain_s=1)
    with socket.create_connection(("127.0.0.1", app.port)) as line:
        line.sendall(b"GET /pieces?n=20000 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(app.open_connections, "its connection")
        assert app.connections(app.reload())["cut"] == 1
