"""What a command reports while others of the same app come, or seats are empty already."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from rig.hosts.host import APPS, Host
from rig.wait import free_port, until


def _hangs_if(flag: Path) -> list[str]:
    """Return an app that never listens if a file is there when it starts."""
    script = f"if test -e {flag}; then exec sleep 1000; fi; exec node {APPS}/app.js"
    return ["sh", "-c", script]


def test_a_scale_is_judged_by_the_seats_that_it_adds(host: Host) -> None:
    """A seat that gave up long before says nothing about the new ones."""
    port = free_port()
    flag = host.directory / "hangs"
    more = "instances = 2\nrestart = { max = 0, min_uptime_s = 600 }\n"
    more += "ready = { timeout_s = 1 }"
    host.start("app", _hangs_if(flag), port=port, more=more)
    (pid, _) = host.app("app")["pids"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: "gave up" in (host.row("app")["reason"] or ""), "a seat to give up")
    host.ok("scale", "app", 3)
    assert host.row("app")["instances"] == {"ready": 2, "wanted": 3}
    flag.touch()
    done = host.gapless("scale", "app", 4)
    assert done.returncode == 1, done.stdout
    assert "did not listen" in done.stdout


def test_a_scale_that_did_not_come_up_is_superseded_by_a_reload(host: Host) -> None:
    """It is not reported as done."""
    port = free_port()
    flag = host.directory / "hangs"
    host.start("app", _hangs_if(flag), port=port)
    flag.touch()
    scaled = host.begin("scale", "app", 2, "--json")
    until(lambda: len(host.app("app")["instances_detail"]) == 2, "a second instance")
    flag.unlink()
    host.ok("reload", "app")
    said, _ = scaled.communicate(timeout=60)
    assert scaled.returncode == 1
    assert json.loads(said)["outcome"] == "superseded"
    totals = host.row("app")["totals"]["operations"]
    assert totals == {"start done": 1, "scale superseded": 1, "reload done": 1}


def test_two_stops_are_both_done(host: Host) -> None:
    """What the first one asked for happens, and is counted once."""
    with _held(host) as client:
        first = host.begin("stop", "app")
        until(lambda: host.status("app") == "stopping", "the stop")
        second = host.begin("stop", "app", "--json")
        until(lambda: _followers(host) == 2, "the second stop")
        client.close()
        told, _ = second.communicate(timeout=60)
        said, _ = first.communicate(timeout=60)
        assert (first.returncode, second.returncode) == (0, 0), said + told
        assert json.loads(told)["outcome"] == "done"
    assert host.row("app")["totals"]["operations"] == {"start done": 1, "stop done": 1}


def test_a_stop_and_a_delete_are_both_done(host: Host) -> None:
    """The app is forgotten when it has ended, and both commands end then."""
    with _held(host) as client:
        first = host.begin("stop", "app")
        until(lambda: host.status("app") == "stopping", "the stop")
        second = host.begin("delete", "app")
        until(lambda: _followers(host) == 2, "the delete")
        client.close()
        for command in (first, second):
            said, _ = command.communicate(timeout=60)
            assert command.returncode == 0, said
    assert host.gapless("describe", "app").returncode != 0


def test_a_start_that_waits_for_a_stop_ends_with_the_next_stop(host: Host) -> None:
    """The newest wish counts."""
    with _held(host) as client:
        first = host.begin("stop", "app")
        until(lambda: host.status("app") == "stopping", "the stop")
        started = host.begin("start", "app.toml")
        assert started.stdout is not None
        assert "the app is stopping" in started.stdout.readline()
        second = host.begin("stop", "app")
        said, _ = started.communicate(timeout=60)
        assert started.returncode == 1
        assert "the app was stopped" in said
        client.close()
        for command in (first, second):
            said, _ = command.communicate(timeout=60)
            assert command.returncode == 0, said
    assert host.status("app") == "stopped"


@contextlib.contextmanager
def _held(host: Host) -> Iterator[socket.socket]:
    """Start an app that has one client who waits for its answer."""
    port = free_port()
    host.start("app", ["node", "app.js"], port=port)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /slow?s=25 HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: host.app("app")["instances_detail"][0]["busy"], "the client")
        yield client


def _followers(host: Host) -> int:
    """Return how many clients the note says wait for the end of the app."""
    note = json.loads((host.home / "notes" / "app.json").read_text())
    operation = note["app"]["operation"]
    return 1 + len(operation["joined"]) if operation else 0
