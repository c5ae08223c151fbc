"""Generations that drain for long: which of them end, and what waits for them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tarfile
from pathlib import Path

from rig.hosts.host import APPS, Host
from rig.wait import free_port, until

COMMAND = ["node", "app.js"]
MORE = "stop = { drain_timeout_s = 600 }"


def _roles(host: Host) -> dict[int, str]:
    return {g["generation"]: g["role"] for g in host.app("app")["generations"]}


def _pid(host: Host, generation: int) -> int:
    found = host.app("app")["instances_detail"]
    return int(next(i["pid"] for i in found if i["generation"] == generation))


def _hold(stack: contextlib.ExitStack, host: Host, port: int, generation: int) -> None:
    """Let a client wait for an answer of a generation, for longer than the test."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    client.sendall(b"GET /slow?s=500 HTTP/1.1\r\nHost: a\r\n\r\n")

    def is_busy() -> bool:
        found = host.app("app")["instances_detail"]
        return any(i["generation"] == generation and i["busy"] for i in found)

    until(is_busy, f"a client of generation {generation}")


def _next(host: Host, port: int, release: str) -> None:
    """Hand over to a release; do not wait until the one before has drained."""
    host.declare("app", COMMAND, port=port, release=release, more=MORE)
    command = host.begin("reload", "app")
    number = max(_roles(host)) + 1
    until(lambda: _roles(host).get(number) == "serving", f"generation {number}")
    command.kill()
    command.communicate()


def test_an_idle_generation_ends_whatever_an_older_one_has(host: Host) -> None:
    """The client of the first one keeps that one alone."""
    port = free_port()
    host.start("app", COMMAND, port=port, more=MORE)
    with contextlib.ExitStack() as stack:
        _hold(stack, host, port, 1)
        _next(host, port, "2")
        _next(host, port, "3")
        until(
            lambda: _roles(host) == {1: "retiring", 3: "serving"}, "the second to end"
        )


def test_only_a_way_back_does_not_wait_for_those_that_drain(host: Host) -> None:
    """A release says what it waits for, and how to end that; a way back begins at once."""
    port = free_port()
    host.start("app", COMMAND, port=port, more=MORE)
    with contextlib.ExitStack() as stack:
        for number in (1, 2, 3):
            _hold(stack, host, port, number)
            _next(host, port, str(number + 1))
        first = _pid(host, 1)
        waiting, said = _begin_to_wait(stack, host)
        assert "3 generations drain, and no more may at once" in said
        assert f"`kill {first}` ends it now" in said
        # The newest request takes the place of the one that waits.
        spec = host.app("app")["spec"]
        spec["environment"]["RELEASE"] = "3"
        _ask_back(host, spec)
        assert waiting.wait(timeout=60) == 1
        assert list(_roles(host).values()) == ["retiring"] * 4 + ["serving"]


def _begin_to_wait(
    stack: contextlib.ExitStack, host: Host
) -> tuple[subprocess.Popen[str], str]:
    """Begin a reload; return it, and its first line."""
    waiting = stack.enter_context(host.begin("reload", "app"))
    stack.callback(waiting.kill)
    assert waiting.stdout is not None
    return waiting, waiting.stdout.readline()


def _ask_back(host: Host, spec: object) -> None:
    """Hand over as `rollback` does, and wait for the proof."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(str(host.home / "supervisor.sock"))
        line = {"op": "reload", "app": "app", "spec": spec, "back": True}
        sock.sendall(json.dumps(line).encode() + b"\n")
        with sock.makefile() as lines:
            assert any('"proven"' in each for each in lines)


def test_one_that_is_killed_lets_the_next_release_begin(host: Host) -> None:
    """What the command says to type does what it says."""
    port = free_port()
    host.start("app", COMMAND, port=port, more=MORE)
    with contextlib.ExitStack() as stack:
        for number in (1, 2, 3):
            _hold(stack, host, port, number)
            _next(host, port, str(number + 1))
        _, said = _begin_to_wait(stack, host)
        pid = int(said.partition("`kill ")[2].partition("`")[0])
        os.kill(pid, signal.SIGTERM)
        until(lambda: _roles(host).get(5) == "serving", "the release that waited")
        assert 1 not in _roles(host)


def test_a_rollback_does_not_wait_for_the_drain_of_a_publish(host: Host) -> None:
    """The publish whose release is proven ends, and leaves the drain to itself."""
    port = _released(host)
    with contextlib.ExitStack() as stack:
        _hold(stack, host, port, 1)
        publish = stack.enter_context(host.begin("publish", _packed(host, "2")))
        stack.callback(publish.kill)
        until(lambda: _roles(host) == {1: "retiring", 2: "serving"}, "the proof")
        assert host.gapless("rollback", "app", "typo").returncode != 0
        assert publish.poll() is None
        back = stack.enter_context(host.begin("rollback", "app"))
        stack.callback(back.kill)
        until(lambda: _roles(host).get(3) == "serving", "the way back")
        said, _ = publish.communicate(timeout=60)
        assert publish.returncode == 0, said


def test_a_rollback_ends_nothing_else_that_waits(host: Host) -> None:
    """A start behind a stop is not its own, nor is anything else but a publish."""
    port = _released(host)
    host.ok("publish", _packed(host, "2"))
    with contextlib.ExitStack() as stack:
        _hold(stack, host, port, max(_roles(host)))
        stop = host.begin("stop", "app")
        stack.callback(stack.enter_context(stop).kill)
        until(lambda: host.status("app") == "stopping", "the stop to wait")
        command = stack.enter_context(host.begin("start", "app"))
        stack.callback(command.kill)
        assert command.stdout is not None
        assert "waiting" in command.stdout.readline()
        host.gapless("rollback", "app")
        assert command.poll() is None
    until(lambda: host.status("app") == "online", "the start that waited")


def _released(host: Host) -> int:
    """Publish and start the first release of an app; return its port."""
    port = free_port()
    host.configure(
        '[app.app]\ncommand = ["node", "app.js"]\ndirectory = "dfs/dist/app"\n'
        f"environment = {{ PORT = {port} }}\nmin_healthy_s = 0.3\n{MORE}\n"
        '[release.app]\nbase = "dfs"\n'
    )
    host.ok("publish", _packed(host, "1"))
    host.start_file("gapless.toml", "app")
    return port


def _packed(host: Host, version: str) -> Path:
    """Return the tarball of a release."""
    path = host.directory / f"{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(APPS / "app.js", "app/app.js")
    return path
