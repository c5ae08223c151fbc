"""The drain library in real servers, whose processes each have a connection."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from gapless_drain.testing import FakeSupervisor

from rig.hosts.host import ROOT, SERVERS
from rig.wait import free_port, until

PYTHON = str(SERVERS / "python")
EXAMPLES = ROOT / "examples" / "drain"
GUNICORN = [str(SERVERS / "gunicorn"), "-b", "127.0.0.1:PORT", "--no-control-socket"]
GRANIAN = [str(SERVERS / "granian"), "--port=PORT", "--no-access-log", "--workers=2"]
ASGI, WSGI = "plain_asgi:app", "plain_wsgi:app"
UVICORN = [PYTHON, "-m", "uvicorn", "--port", "PORT"]
WAITRESS = [str(SERVERS / "waitress-serve"), "--listen=127.0.0.1:PORT", WSGI]
COMMANDS: dict[str, tuple[list[str], int]] = {
    "uvicorn": ([*UVICORN, ASGI], 1),
    "uvicorn-2": ([*UVICORN, "--workers", "2", ASGI], 2),
    "gunicorn-sync": ([*GUNICORN, "-w", "4", WSGI], 4),
    "gunicorn-gthread": ([*GUNICORN, "-w", "2", "--threads", "4", WSGI], 2),
    "gunicorn-preload": ([*GUNICORN, "-w", "2", "--threads=4", "--preload", WSGI], 3),
    "gunicorn-uvicorn": (
        [*GUNICORN, "-w", "2", "-k", "uvicorn_worker.UvicornWorker", ASGI],
        2,
    ),
    "gunicorn-gevent": ([*GUNICORN, "-w", "2", "-k", "gevent", WSGI], 2),
    "hypercorn": ([str(SERVERS / "hypercorn"), "-b", "127.0.0.1:PORT", ASGI], 1),
    "granian-asgi": ([*GRANIAN, "--interface=asgi", ASGI], 2),
    "granian-wsgi": ([*GRANIAN, "--interface=wsgi", WSGI], 2),
    "waitress": (WAITRESS, 1),
}
"""The command of each, and how many of its processes connect: a preloading master too."""
ONE_REQUEST_A_CONNECTION = ("gunicorn-sync",)
HELD_BACK = ("uvicorn", "waitress")
"""Servers where SIGTERM waits for the drain; a master closes its socket at once."""


@contextmanager
def serving(
    name: str, environ: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a server until the block ends; yield its process and its port."""
    argv, _ = COMMANDS[name]
    port = free_port()
    own = {k: v for k, v in os.environ.items() if not k.startswith("GAPLESS")}
    process = subprocess.Popen(
        [word.replace("PORT", str(port)) for word in argv],
        cwd=EXAMPLES,
        env=own | {"RELEASE": "1"} | (environ or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        pids: set[bytes] = set()
        # granian, for example, loses a SIGTERM that comes while a process starts.
        until(lambda: all_answer(name, port, pids), f"all of {name} to answer", 30)
        yield process, port
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def all_answer(name: str, port: int, pids: set[bytes]) -> bool:
    """Return whether every process that serves has answered once."""
    with suppress(OSError, http.client.HTTPException):
        status, _, body = ask(port, "/")
        if status == 200:
            pids.add(body)
    return len(pids) == COMMANDS[name][1] - name.endswith("-preload")


def ask(
    port: int, path: str, method: str = "GET", body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send a request on a connection of its own; return the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read()
    finally:
        connection.close()


class Asking(threading.Thread):
    """A slow request in the background."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self.port, self.path = port, path
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        self.start()

    def run(self) -> None:
        """Send the request."""
        self.answer = ask(self.port, self.path)

    def status(self) -> int | None:
        """Wait for the answer; return its status."""
        self.join(30)
        return self.answer[0] if self.answer else None


@pytest.mark.parametrize("name", COMMANDS)
def test_every_process_counts_and_drains(name: str) -> None:
    """Counts are added up, new requests are refused, and undrain serves them again."""
    with FakeSupervisor() as supervisor, serving(name, supervisor.environ) as served:
        _, port = served
        supervisor.wait_for(processes=COMMANDS[name][1])
        slow = [Asking(port, "/slow?s=1.5") for _ in range(2)]
        until(lambda: counted(supervisor) == 2, "two requests to be counted")
        supervisor.order("drain recycle")
        supervisor.wait_for(mode="recycle")
        for method, body in (("GET", None), ("POST", b"x" * 300_000)):
            status, headers, _ = ask(port, "/echo", method, body)
            assert status == 503
            assert headers["gapless-drain"] == "recycle"
            assert headers["retry-after"] == "1"
            assert headers.get("connection", "close").lower() == "close"
        assert [each.status() for each in slow] == [200, 200]
        supervisor.wait_for(
            mode="recycle", requests=0, procedures=0, refusing=0, refused=2
        )
        supervisor.order("undrain")
        supervisor.wait_for(mode="serving")
        assert ask(port, "/")[0] == 200
        assert ask(port, "/echo", "HEAD")[0] == 200
        assert ask(port, "/fail")[0] == 500
        assert raw(port, b"GET /slow?s=0.3 HTTP/1.1\r\nHost: x\r\n\r\n", 0) == b""
        until(lambda: counted(supervisor) == 0, "nothing to be under way")


def counted(supervisor: FakeSupervisor) -> int:
    """Return how many requests are under way now."""
    supervisor.order("counts")
    supervisor.wait_for()
    return supervisor.total("requests")


def raw(port: int, head: bytes, size: int = 65536) -> bytes:
    """Send bytes, read up to *size* of the answer, and disconnect."""
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(head)
        return sock.recv(size) if size else b""


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - set(ONE_REQUEST_A_CONNECTION)))
def test_in_a_handoff_a_connection_ends_with_its_next_answer(name: str) -> None:
    """The answer says so, so no client sends another request on it."""
    with FakeSupervisor() as supervisor, serving(name, supervisor.environ) as served:
        _, port = served
        supervisor.wait_for(processes=COMMANDS[name][1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for expected in ("keep-alive", "close"):
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert answer.status == 200
            found = (answer.getheader("connection") or "keep-alive").lower()
            assert found == expected
            assert answer.read().startswith(b"release 1")
            if expected == "keep-alive":
                supervisor.order("drain handoff")
                supervisor.wait_for(mode="handoff")
        connection.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_sigterm_finishes_what_was_begun(name: str, tmp_path: Path) -> None:
    """Without a supervisor, the slow request and its procedure are complete."""
    ledger = tmp_path / "ledger"
    with serving(name, {"LEDGER": str(ledger)}) as (process, port):
        asking = Asking(port, "/procedure?s=1")
        until(lambda: ledger.exists() and "begin" in ledger.read_text(), "it to begin")
        process.terminate()
        assert asking.status() == 200
        assert "end" in ledger.read_text()
        process.wait(20)


@pytest.mark.parametrize("name", HELD_BACK)
def test_sigterm_refuses_before_the_server_goes(name: str, tmp_path: Path) -> None:
    """It answers 503 while it finishes, so that the balancer tries another server."""
    ledger = tmp_path / "ledger"
    with serving(name, {"LEDGER": str(ledger)}) as (process, port):
        asking = Asking(port, "/procedure?s=1.5")
        until(lambda: ledger.exists() and "begin" in ledger.read_text(), "it to begin")
        process.terminate()
        until(lambda: ask(port, "/")[0] == 503, "the 503")
        assert "end" not in ledger.read_text()
        assert asking.status() == 200
        process.wait(20)


STREAMING = ("uvicorn", "gunicorn-uvicorn", "hypercorn", "granian-asgi")


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("order", ["drain handoff", "drain recycle"])
def test_an_event_stream_ends_whole(name: str, order: str) -> None:
    """The last chunk comes, so the client knows that nothing was cut."""
    with FakeSupervisor() as supervisor, serving(name, supervisor.environ) as served:
        _, port = served
        supervisor.wait_for(processes=COMMANDS[name][1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/events")
        answer = connection.getresponse()
        assert answer.readline() == b"data: release 1\n"
        supervisor.order(order)
        rest = answer.read()  # raises IncompleteRead if the end was cut off
        assert rest.startswith(b"\n")
        connection.close()
        supervisor.wait_for(requests=0)


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
CLOSED_1012 = b"\x88"
"""The first byte of a close frame; its code follows the length (RFC 6455)."""


@pytest.mark.parametrize("name", STREAMING)
def test_a_websocket_is_closed_with_1012(name: str) -> None:
    """A new one is refused."""
    with FakeSupervisor() as supervisor, serving(name, supervisor.environ) as served:
        _, port = served
        supervisor.wait_for(processes=COMMANDS[name][1])
        with socket.create_connection(("127.0.0.1", port), 20) as sock:
            sock.sendall(UPGRADE)
            stream = sock.makefile("rb")
            assert b"101" in stream.readline()
            while stream.readline().strip():
                pass
            supervisor.order("drain recycle")
            frame = stream.read(4)
            assert frame[:1] == CLOSED_1012
            assert int.from_bytes(frame[2:4], "big") == 1012
            sock.sendall(b"\x88\x82\0\0\0\0\x03\xf4")
        supervisor.wait_for(mode="recycle")  # in every process
        refused = raw(port, UPGRADE)
        assert refused.split(b" ", 2)[1] in (b"503", b"403")
        supervisor.wait_for(requests=0)


HTTP2 = {
    "hypercorn": COMMANDS["hypercorn"][0],
    "granian-asgi": [*COMMANDS["granian-asgi"][0][:-1], "--http=2", ASGI],
}


@pytest.mark.parametrize("name", HTTP2)
def test_http2_is_counted_and_refused_without_connection(name: str) -> None:
    """RFC 9113, section 8.2.2: there is no such header."""
    with FakeSupervisor() as supervisor:
        port = free_port()
        argv = [word.replace("PORT", str(port)) for word in HTTP2[name]]
        process = subprocess.Popen(
            argv,
            cwd=EXAMPLES,
            env=os.environ | supervisor.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            until(lambda: "HTTP/2 200" in http2(port, "/"), "an answer", 30)
            # A process that connects later would not get the order of this supervisor.
            supervisor.wait_for(processes=COMMANDS[name][1])
            until(lambda: counted(supervisor) == 0, "the asking to end")
            slow = subprocess.Popen(
                ["curl", "-s", "--http2-prior-knowledge", url(port, "/slow?s=1")],
                stdout=subprocess.PIPE,
            )
            until(lambda: counted(supervisor) == 1, "the slow one to be counted")
            supervisor.order("drain recycle")
            supervisor.wait_for(mode="recycle")
            answer = http2(port, "/", "-d", "x" * 50_000).lower()
            assert "http/2 503" in answer
            assert "gapless-drain: recycle" in answer
            assert "connection:" not in answer
            assert slow.communicate(timeout=20)[0].startswith(b"release")
            supervisor.wait_for(requests=0, refused=1)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def url(port: int, path: str) -> str:
    """Return the URL of a path."""
    return f"http://127.0.0.1:{port}{path}"


def http2(port: int, path: str, *more: str) -> str:
    """Return what curl prints: the head and the body of the answer."""
    argv = [
        "curl",
        "-si",
        "-m",
        "20",
        "--http2-prior-knowledge",
        *more,
        url(port, path),
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
