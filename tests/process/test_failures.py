"""A failing release loses no request: every kind of failure, under load."""

from __future__ import annotations

import json
import sys
import urllib.request

import pytest

from rig.hosts.host import Host
from rig.load import engine
from rig.load.process import run_load
from rig.wait import free_port, until

TRAFFIC = (engine.NEW, engine.POST)
NODE_500 = (
    "require('http').createServer((q, r) => { r.writeHead(q.url == '/health' ? 500 : 200);"
    "r.end('release 2 '); }).listen(process.env.PORT, '127.0.0.1')"
)
TWO_PORTS = (
    "for (const p of process.env.PORTS.split(' ').slice(0, process.env.COUNT))"
    " require('http').createServer((q, r) => r.end('release ' + process.env.RELEASE + ' '))"
    ".listen(Number(p), '127.0.0.1')"
)
GOOD = ["node", "app.js"]
TINY = [sys.executable, "-I", "-S", "tiny.py"]
BAD = {
    "crashes": (["node", "-e", "throw new Error('broken on purpose')"], "", "code 1"),
    "never listens": (
        ["node", "-e", "setInterval(() => 0, 1000)"],
        "ready = { timeout_s = 1 }",
        "did not listen on",
    ),
    "listens elsewhere": (
        ["node", "-e", "require('net').createServer().listen(OTHER, '127.0.0.1')"],
        "ready = { timeout_s = 4 }",
        "but not on",
    ),
    "never says ready": (
        GOOD,
        'ready = { when = "notify", timeout_s = 1 }',
        "did not say that it is ready",
    ),
    "answers its probe with 500": (
        ["node", "-e", NODE_500],
        'ready = { http = "/health", timeout_s = 4 }',
        "it answered 500",
    ),
    "has no program": (["./not-there"], "", "no executable"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_release_that_fails_leaves_the_old_one_serving(host: Host, what: str) -> None:
    """The reload ends with its exit code and the reason, and no request is lost."""
    port = free_port()
    argv, more, reason = BAD[what]
    argv = [word.replace("OTHER", str(free_port())) for word in argv]
    host.start("app", GOOD, port=port)
    with run_load(port, *TRAFFIC) as under_load:
        under_load.wait_for_version("1")
        host.declare("app", argv, port=port, release="2", more=more)
        done = host.gapless("reload", "app")
        under_load.wait_for(50)
        report = under_load.stop()
    assert done.returncode == (3 if what == "has no program" else 1), done.stdout
    assert reason in done.stdout + done.stderr
    assert report.lost == 0, str(report)
    assert report.versions.keys() <= {"1", ""}
    described = host.app("app")
    assert (described["status"], described["generation"]) == ("online", 1)


def test_the_last_lines_of_the_log_are_on_the_screen(host: Host) -> None:
    """The output of a failed reload has the last lines of the app's log."""
    port = free_port()
    host.start("app", GOOD, port=port)
    host.declare("app", BAD["crashes"][0], port=port, release="2")
    assert "broken on purpose" in host.gapless("reload", "app").stdout


def test_a_death_after_the_switch_moves_the_connections_back(host: Host) -> None:
    """The old generation, on standby, takes the connections back."""
    port = free_port()
    host.start("app", GOOD, port=port)
    # The process exits by itself after twenty answers, between two requests.
    dies = (
        "let n = 0; const s = require('http').createServer((q, r) => {"
        " r.end('release 2 '); r.on('close', () => { if (++n == 20) s.close(() =>"
        " process.exit(3)); }); }).listen(process.env.PORT, '127.0.0.1')"
    )
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for_version("1")
        host.declare(
            "app",
            ["node", "-e", dies],
            port=port,
            release="2",
            more="min_healthy_s = 20",
        )
        done = host.gapless("reload", "app")
        before = under_load.versions()
        under_load.wait_for(50)
        after = under_load.versions()
        report = under_load.stop()
    assert done.returncode == 1, done.stdout
    assert "exited with code 3" in done.stdout
    assert report.versions["2"] >= 20
    assert after.get("2") == before.get("2")
    assert report.lost == 0, str(report)


@pytest.mark.parametrize(
    "restart", ["stop_exit_codes = [0]", "automatic = false"], ids=["codes", "manual"]
)
@pytest.mark.parametrize(
    ("dies", "more"),
    [
        ("start", ""),
        ("served", ""),
        ("start", 'ready = { http = "/", timeout_s = 20 }'),
        ("start", "overlap = false"),
        ("served", "overlap = false"),
    ],
)
def test_a_server_that_ends_with_0_does_not_take_the_place_of_one_that_serves(
    host: Host, dies: str, more: str, restart: str
) -> None:
    """What its code means to a job that is done is a failure of a release of a server."""
    port = free_port()
    more += f"\nrestart = {{ {restart} }}\n"
    host.start("app", TINY, port=port, more=more)
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for_version("1")
        ends = ["env", f"DIES={dies}", "CODE=0", *TINY]
        more += "min_healthy_s = 20\n"
        host.declare("app", ends, port=port, release="2", more=more)
        done = host.gapless("reload", "app")
        under_load.wait_for(50)
        report = under_load.stop()
    assert done.returncode == 1, done.stdout
    assert "exited with code 0" in done.stdout
    assert report.lost == 0, str(report)
    assert report.versions.get("2", 0) == (dies == "served")
    described = host.app("app")
    assert (described["status"], described["generation"]) == ("online", 1)


def test_a_server_that_has_proved_itself_may_end_with_0(host: Host) -> None:
    """Then its stop exit codes say that it is done, as they always did."""
    port = free_port()
    more = "restart = { stop_exit_codes = [0] }"
    command = ["env", "CODE=0", *TINY]
    host.start("app", command, port=port, more=more)
    host.declare("app", command, port=port, release="2", more=more)
    host.ok("reload", "app")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/die") as answer:
        assert answer.read().startswith(b"release 2 ")
    until(lambda: host.status("app") == "stopped", "it to be done")


def test_a_release_that_listens_on_one_of_two_ports_is_refused(host: Host) -> None:
    """A new generation must listen on every address of the old one to be ready."""
    ports = [free_port(), free_port()]

    def declare(release: str, count: int) -> None:
        shown = " ".join(map(str, ports))
        host.configure(
            "[app.app]\n"
            f"command = {json.dumps(['node', '-e', TWO_PORTS])}\n"
            f'environment = {{ PORTS = "{shown}", COUNT = {count}, '
            f'RELEASE = "{release}" }}\n'
            "ready = { timeout_s = 5 }\nmin_healthy_s = 0.3\n"
        )

    declare("1", 2)
    host.ok("start", "gapless.toml")
    until(lambda: len(host.row("app")["addresses"]) == 2, "two addresses")
    with run_load(ports[1], engine.NEW) as under_load:
        under_load.wait_for_version("1")
        declare("2", 1)
        done = host.gapless("reload", "app")
        assert done.returncode == 1
        assert f"listens on 127.0.0.1:{ports[0]} but not on" in done.stdout
        declare("3", 2)
        host.ok("reload", "app")
        under_load.wait_for_version("3")
        assert under_load.stop().lost == 0


@pytest.mark.parametrize("preload", [True, False])
def test_an_old_generation_that_does_not_drain_is_cut_and_counted(
    host: Host, preload: bool
) -> None:
    """The report counts the requests that were cut at the deadline."""
    port = free_port()
    more = "stop = { drain_timeout_s = 0.5, kill_timeout_s = 0.3 }\n"
    more += f"preload = {str(preload).lower()}"
    host.start("app", GOOD, port=port, more=more)
    endless = engine.Traffic(kind="endless", concurrency=2, path="/slow?s=30")
    with run_load(port, endless) as under_load:
        until(
            lambda: host.app("app")["instances_detail"][0]["busy"] == 2,
            "two requests in flight",
        )
        host.declare("app", GOOD, port=port, release="2", more=more)
        report = host.json("reload", "app")
        lost = under_load.lost()
        host.gapless("stop", "app")
        assert lost == 2
        under_load.stop()
    assert report["outcome"] == "done"
    counted = report["requests"] if preload else report["connections"]
    assert counted["cut"] == 2
    assert report["cut"][0]["reason"]


def test_a_port_that_somebody_else_holds_is_refused_by_name(host: Host) -> None:
    """Another program in the SO_REUSEPORT group would take some of the connections."""
    import socket

    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        host.declare("app", GOOD, port=port, release="1")
        done = host.gapless("start", "app.toml")
    assert done.returncode == 1
    assert "the port is held by" in done.stdout
    assert host.status("app") == "gave up"
