"""Recycling behind real load balancers: no request fails, and none runs twice."""

from __future__ import annotations

import collections
import contextlib
import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rig.hosts.host import (
    APPS,
    GAPLESS,
    SERVERS,
    Host,
    temporary_host,
)
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix
from rig.programs.balancer import balancer
from rig.wait import free_port, until

CHECK = (str(GAPLESS), "balancer", "check")
POST = replace(engine.POST, concurrency=4, body_bytes=10_000)
LATE_BODY = replace(
    engine.SLOW_BODY, kind="late-body", concurrency=2, body_bytes=4_000, body_s=0.1
)
TRAFFICS = (engine.NEW, engine.KEEP_ALIVE, POST, LATE_BODY)


@contextmanager
def two_hosts(first: Host) -> Iterator[tuple[Host, Host]]:
    """Add a second host to the one of the test."""
    with temporary_host() as second:
        yield first, second


@pytest.mark.parametrize(
    ("name", "how"),
    matrix(
        itertools.product(["nginx", "haproxy"], ["recycle", "drain"]),
        ("nginx", "recycle"),
    ),
)
def test_two_servers_recycle_and_no_request_fails_or_runs_twice(
    host: Host, tmp_path: Path, name: str, how: str
) -> None:
    """The servers recycle one after the other, and both again soon after."""
    ledger = tmp_path / "ledger"
    ports = (free_port(), free_port())
    refused = 0
    with two_hosts(host) as hosts, balancer(name, tmp_path, *ports) as port:
        for each, own in zip(hosts, ports, strict=True):
            each.environment["LEDGER"] = str(ledger)
            each.start("app", command(own), port=own, more="overlap = false")
        until(lambda: curl(port) == 0, f"{name} to serve")
        with run_load(port, *TRAFFICS) as under_load:
            under_load.wait_for(100)
            for release in ("2", "3"):
                for each, own in zip(hosts, ports, strict=True):
                    each.declare(
                        "app",
                        command(own),
                        port=own,
                        release=release,
                        more="overlap = false",
                    )
                    if how == "drain":
                        each.ok("drain")
                        under_load.wait_for(200)
                        each.ok("undrain")
                    else:
                        recycled = each.json("reload", "app")
                        assert recycled["outcome"] == "done", recycled
                        refused += recycled["requests"]["refused"]
                    under_load.wait_for(50)
            report = under_load.stop()
    assert report.lost == 0, str(report)
    assert refused or how == "drain", "no request was refused: nothing was shown"
    counts = collections.Counter(ledger.read_text().split())
    doubled = [number for number, times in counts.items() if times > 1]
    assert not doubled
    assert (
        len(counts)
        == report.kinds["post"]["requests"] + (report.kinds["late-body"]["requests"])
    )


def command(port: int) -> list[str]:
    """Return the command of the app that keeps a ledger."""
    own = ["-m", "uvicorn", "--port", str(port), "--no-access-log", "ledger_app:app"]
    return [str(SERVERS / "python"), *own]


REFUSED = 7
"""curl's exit code where no program listens (curl(1))."""


def curl(port: int) -> int:
    """Return curl's exit code."""
    argv = ["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{port}/"]
    return subprocess.run(argv, check=False, cwd=APPS).returncode


@pytest.mark.parametrize(
    ("name", "draining"),
    matrix(itertools.product(["nginx", "haproxy"], [2, 3])),
)
def test_most_of_four_servers_drain_and_the_rest_is_found(
    host: Host, tmp_path: Path, name: str, draining: int
) -> None:
    """HAProxy may try the same server again, but tries often enough to find the last."""
    ports = [free_port() for _ in range(4)]
    few = engine.Traffic(kind="new", concurrency=2)
    with contextlib.ExitStack() as stack:
        hosts = [host, *(stack.enter_context(temporary_host()) for _ in range(3))]
        port = stack.enter_context(balancer(name, tmp_path, *ports))
        for each, own in zip(hosts, ports, strict=True):
            each.environment["LEDGER"] = str(tmp_path / "ledger")
            each.start("app", command(own), port=own)
        until(lambda: curl(port) == 0, f"{name} to serve")
        for each in hosts[:draining]:
            each.ok("drain")
        with run_load(port, few, POST, LATE_BODY) as under_load:
            under_load.wait_for(800)
            report = under_load.stop()
        done = host.gapless(
            "balancer",
            "check",
            f"http://127.0.0.1:{port}/",
            f"--draining=http://127.0.0.1:{ports[0]}/",
        )
    if name == "nginx" or draining == 2:
        assert done.returncode == 0, done.stdout
        assert report.lost == 0, str(report)
    else:
        # 31 tries, each at a random other server of three: (2/3) ** 30 of the requests
        # whose first server refuses.
        assert report.lost <= report.requests // 400, str(report)


Spoil = tuple[str, list[tuple[str, str]], str]
NO_PLACE = ("error_page 503", "error_page 599")
IDEMPOTENT = ("proxy_next_upstream error timeout", "proxy_next_upstream error http_503")
ONE_SERVER = ("the first of them", "")
SPOILED: dict[str, Spoil] = {
    "nginx: no retry": ("nginx", [NO_PLACE], "http_503"),
    "nginx: POST stays": ("nginx", [NO_PLACE, IDEMPOTENT], "non_idempotent"),
    "nginx: bodies are streamed": (
        "nginx",
        [("proxy_request_buffering on", "proxy_request_buffering off")],
        "proxy_request_buffering on",
    ),
    "nginx: one server": ("nginx", [ONE_SERVER], "at least two servers"),
    "haproxy: one server": ("haproxy", [ONE_SERVER], "redispatch"),
    "haproxy: no retry": (
        "haproxy",
        [("conn-failure 503", "conn-failure")],
        "retry-on 503",
    ),
    "haproxy: late bodies": (
        "haproxy",
        [("option http-buffer-request", "")],
        "http-buffer-request",
    ),
    "haproxy: large bodies": (
        "haproxy",
        [("tune.bufsize", "# tune.bufsize")],
        "tune.bufsize",
    ),
}
# These show only when the first server serves again and the next one drains.
LATER: dict[str, Spoil] = {
    "nginx: a refusal is a failure": ("nginx", [(" max_fails=0", "")], "max_fails=0"),
    "haproxy: a refusal is a failure": (
        "haproxy",
        [
            ("observe layer4", "observe layer7 error-limit 1 on-error mark-down"),
            ("inter 500ms", "inter 20s"),
        ],
        "observe layer7",
    ),
}
RIGHT: dict[str, Spoil] = {name: (name, [], "") for name in ("nginx", "haproxy")}


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_check_finds_the_setting_that_is_wrong(
    host: Host, tmp_path: Path, name: str, subtests: pytest.Subtests
) -> None:
    """One of two servers drains.  The output of `gapless balancer` is right."""
    ports = (free_port(), free_port())
    draining = f"--draining=http://127.0.0.1:{ports[1]}/"
    with serving_pair(host, tmp_path, ports) as hosts:
        with balancer(name, tmp_path, *ports) as port:
            until(lambda: curl(port) == 0, f"{name} to serve")
            url = f"http://127.0.0.1:{port}/"
            early = host.gapless("balancer", "check", url, draining)
            assert early.returncode == 1
            assert "nothing would be shown" in early.stderr
        hosts[1].ok("drain")
        cases = RIGHT | SPOILED
        for case in [case for case in cases if cases[case][0] == name]:
            _, spoil, message = cases[case]
            if spoil == [ONE_SERVER]:
                line = {"nginx": f"    server 127.0.0.1:{ports[0]} max_fails=0;"}
                line["haproxy"] = f"    server s1 127.0.0.1:{ports[0]}"
                spoil = [(line[name], "")]
            with (
                subtests.test(case),
                balancer(name, tmp_path, *ports, spoil=spoil) as port,
            ):
                until(lambda p=port: curl(p) != REFUSED, f"{name} to listen")  # type: ignore[misc]  # of this round
                url = f"http://127.0.0.1:{port}/"
                done = host.gapless("balancer", "check", url, draining)
                if message:
                    assert done.returncode == 1, done.stdout
                    assert message in done.stdout
                else:
                    assert done.returncode == 0, done.stdout
                    assert "right: no refusal reached the client" in done.stdout


@contextmanager
def serving_pair(
    host: Host, tmp_path: Path, ports: tuple[int, int]
) -> Iterator[tuple[Host, Host]]:
    """Run the app on two hosts; it counts no request as its own failure."""
    with two_hosts(host) as hosts:
        for each, own in zip(hosts, ports, strict=True):
            each.environment["LEDGER"] = str(tmp_path / "ledger")
            each.environment["NUMBER"] = "0"
            each.start("app", command(own), port=own)
        yield hosts


@pytest.mark.soak
def test_check_finds_that_too_few_are_tried(host: Host, tmp_path: Path) -> None:
    """With its default number of tries HAProxy may meet only the three that drain."""
    ports = [free_port() for _ in range(4)]
    spoil = [("retries 30", "retries 3")]
    with contextlib.ExitStack() as stack:
        hosts = [host, *(stack.enter_context(temporary_host()) for _ in range(3))]
        port = stack.enter_context(balancer("haproxy", tmp_path, *ports, spoil=spoil))
        for each, own in zip(hosts, ports, strict=True):
            each.environment["LEDGER"] = str(tmp_path / "ledger")
            each.start("app", command(own), port=own)
        until(lambda: curl(port) == 0, "haproxy to serve")
        for each in hosts[:3]:
            each.ok("drain")
        url = f"http://127.0.0.1:{port}/"
        draining = f"--draining=http://127.0.0.1:{ports[0]}/"
        done = host.gapless("balancer", "check", url, draining)
    assert done.returncode == 1, done.stdout
    assert "retries 30 or more" in done.stdout


@pytest.mark.parametrize("case", [*RIGHT, *LATER])
def test_check_goes_on_while_the_next_server_drains(
    host: Host, tmp_path: Path, case: str
) -> None:
    """If a refusal counts as a failure, no server is left when the next one drains."""
    name, spoil, said = (RIGHT | LATER)[case]
    ports = (free_port(), free_port())
    with (
        # Only `observe` needs a check; a check of a path that answers 503 in a drain is one
        # more reason to take a server out.
        balancer(
            name, tmp_path, *ports, spoil=spoil, options=["--health=/"] * bool(said)
        ) as port,
        serving_pair(host, tmp_path, ports) as hosts,
    ):
        until(lambda: curl(port) == 0, f"{name} to serve")
        hosts[0].ok("drain")
        urls = [f"http://127.0.0.1:{own}/" for own in (port, *ports)]
        check = subprocess.Popen(
            [*CHECK, urls[0], f"--draining={urls[1]}", f"--next={urls[2]}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        with check:
            assert check.stdout is not None
            said_first = ""
            while "now `gapless undrain`" not in said_first:
                said_first += check.stdout.readline()
                assert check.poll() is None, said_first
            hosts[0].ok("undrain")
            hosts[1].ok("drain")
            said_then = check.stdout.read()
    if said:
        assert check.returncode == 1, said_first + said_then
        assert "wrong" in said_then
        assert said in said_then
    else:
        assert check.returncode == 0, said_first + said_then
