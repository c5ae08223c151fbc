"""What clients send on the control socket, and how many connect."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.supervisor.control.control_connection import LONGEST_REQUEST_BYTES
from gapless.supervisor.control.control_socket import MOST_IDLE
from rig.hosts import control, limits
from rig.hosts.host import Host
from rig.wait import until

SLEEP = ["sleep", "1000"]
SPEC: dict[str, Any] = {"name": "new", "command": SLEEP, "directory": "/"}


@contextlib.contextmanager
def connected(host: Host) -> Iterator[socket.socket]:
    """Connect to the control socket of a host."""
    directory = os.open(host.home, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(f"/proc/self/fd/{directory}/supervisor.sock")
        finally:
            os.close(directory)
        sock.settimeout(20)
        yield sock


def last_line(sock: socket.socket) -> Any:
    """Return the last line that a client is sent, decoded."""
    with sock.makefile("rb") as lines:
        return json.loads(list(lines)[-1])


def one_app(host: Host, name: str = "app") -> None:
    """Start an app that only sleeps."""
    host.configure(
        f"[app.{name}]\ncommand = {json.dumps(SLEEP)}\n"
        "restart = { min_uptime_s = 0.1 }\nmin_healthy_s = 0.1\n"
    )
    host.ok("start", "gapless.toml")


def changed(**fields: Any) -> bytes:
    """Return a request to start an app, with some fields of its spec changed."""
    return json.dumps({"op": "start", "spec": SPEC | fields}).encode() + b"\n"


BAD = [
    changed(environment={"A": "\ud800"}),
    changed(environment={"A": "\0"}),
    changed(log={"output": "/x\0"}),
    changed(stop={"kill_timeout_s": -1}),
    changed(stop={"drain_timeout_s": float("nan")}),
    changed(min_healthy_s=float("inf")),
    changed(instances=True),
    changed(instances=1 << 80),
    changed(listen=["here"]),
    changed(increment_variable="A", environment={"A": "\0" + "9" * 5000}),
    b'{"op": "drain", "lead_s": NaN}\n',
    b'{"op": "drain", "lead_s": "soon"}\n',
    b'{"op": "permit", "app": "app", "until": "never"}\n',
    b'{"op": "follow", "app": {}, "token": []}\n',
    b'{"op": "follow", "app": "app", "token": "\\ud800"}\n',
    b'{"op": "scale", "app": "app", "instances": 1e400}\n',
    b'{"op": "list"}{"op": "list"}\n',
    b'{"op": "list", "x": ' + b"[" * 900 + b"]" * 900 + b"}\n",
    b"[" * 1_000_000 + b"\n",
    b"\0" * 1000 + b"\n",
    b"x" * (LONGEST_REQUEST_BYTES + (2 << 20)) + b"\n",
    b"x" * (LONGEST_REQUEST_BYTES + (2 << 20)),
]


def test_a_bad_request_changes_nothing_and_ends_nothing(
    host: Host, subtests: pytest.Subtests
) -> None:
    """Each is answered with an error; state and supervisor are what they were."""
    one_app(host)
    stored = host.home / "state.json"
    until(lambda: b'"outcome": "done"' in stored.read_bytes(), "the start on disk")
    pid, state = host.supervisor_pid(), stored.read_bytes()
    for message in BAD:
        with subtests.test(repr(message[:60])), connected(host) as sock:
            sock.sendall(message)
            assert last_line(sock)["error"]["exit_code"] in (2, 3)
            found = control.ask(host.home, "list")
            assert found["supervisor"]["pid"] == pid
            assert stored.read_bytes() == state
    replace_supervisor(host, pid)


def replace_supervisor(host: Host, pid: int) -> None:
    """Kill the supervisor; the next one has to read all that was stored."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: control.ask(host.home, "ping") is None, "its end")
    assert host.supervisor_pid() != pid
    assert {row["status"] for row in host.json("list")["apps"]} == {"online"}


def test_what_is_accepted_can_be_read_by_the_next_supervisor(host: Host) -> None:
    """Odd texts and the largest numbers are kept as they are; the apps run."""
    raw = b"caf\xe9".decode(errors="surrogateescape")
    spec = SPEC | {
        "environment": {"RAW": raw, "COUNT": "9" * 5000, "LINE": "a\n\u2028\x7f"},
        "increment_variable": "COUNT",
        "stop": {"drain_timeout_s": 3e8, "kill_timeout_s": 3e8},
        "restart": {"min_uptime_s": 0.1, "delay_s": 3e8},
        "min_healthy_s": 0.1,
        "more": {"of": ["a", "later", "version"]},
    }
    host.ok("list")
    one_app(host)
    with connected(host) as sock:
        sock.sendall(
            json.dumps({"op": "start", "spec": spec, "later": 1}).encode() + b"\n"
        )
        assert last_line(sock)["result"]["outcome"] == "done"
    host.ok("reload", "new")
    replace_supervisor(host, host.supervisor_pid())
    described = host.app("new")
    assert described["spec"]["environment"]["RAW"] == raw
    (started,) = described["pids"]
    assert b"\0RAW=caf\xe9\0" in b"\0" + Path(f"/proc/{started}/environ").read_bytes()


def test_a_variable_of_the_shell_that_is_not_utf8_reaches_the_app(host: Host) -> None:
    """What the app inherits are the same bytes."""
    host.environment["RAW"] = b"caf\xe9".decode(errors="surrogateescape")
    one_app(host)
    (pid,) = host.app("app")["pids"]
    assert b"\0RAW=caf\xe9\0" in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    assert host.json("env", "app")["RAW"] == host.environment["RAW"]
    pid = host.supervisor_pid()
    replace_supervisor(host, pid)


def test_a_client_that_closes_its_own_direction_is_answered(host: Host) -> None:
    """As `echo '{"op": "list"}' | nc -U` does; without its newline it is an error."""
    one_app(host)
    for message, wanted in ((b'{"op": "list"}\n', "result"), (b'{"op"', "error")):
        with connected(host) as sock:
            sock.sendall(message)
            sock.shutdown(socket.SHUT_WR)
            assert wanted in last_line(sock)


def test_idle_connections_keep_no_command_waiting(host: Host) -> None:
    """The oldest idle ones are closed; what waits for an answer is not."""
    one_app(host)
    pid = host.supervisor_pid()
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connected(host)) for _ in range(4 * MOST_IDLE)]
        assert host.json("list")["supervisor"]["pid"] == pid
        assert idle[0].recv(1) == b""
    host.ok("reload", "app")


def test_a_connection_without_a_request_has_a_deadline(host: Host) -> None:
    """It is told why it ends."""
    one_app(host)
    with connected(host) as sock:
        sock.sendall(b'{"op": ')
        assert last_line(sock)["error"]["kind"] == "timed_out"


def test_a_supervisor_without_descriptors_answers(host: Host) -> None:
    """The client is told; it is not left waiting, and the supervisor does not spin."""
    one_app(host)
    pid = host.supervisor_pid()
    with limits.out_of_descriptors(pid), connected(host) as sock:
        with contextlib.suppress(BrokenPipeError):  # it was refused before it asked
            sock.sendall(b'{"op": "list"}\n')
        message = last_line(sock)["error"]["message"]
    assert "descriptor" in message or "open files" in message
    assert host.supervisor_pid() == pid


def test_a_client_that_resets_its_connection_harms_nobody(host: Host) -> None:
    """It vanishes with an answer unread."""
    one_app(host)
    pid = host.supervisor_pid()
    for _ in range(20):
        with connected(host) as sock:
            linger = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            sock.sendall(b'{"op": "list"}\n' * 2)
    assert host.supervisor_pid() == pid
