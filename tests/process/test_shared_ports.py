"""Apps that share a port, under strict clients: each has a part, and disturbs no other."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from rig import wait
from rig.hosts.host import APPS, Host
from rig.load import engine
from rig.load.process import Load, run_load
from rig.matrix import matrix

THREADS, NODE = [sys.executable, "threads.py"], ["node", "app.js"]
TINY = [sys.executable, "-I", "-S", "tiny.py"]
SHARED = 'share_ports = "web"\n'
SHOP, SITE = "shop", "site"
NEW = replace(engine.NEW, concurrency=3, pause_s=0.004)
KEPT = replace(engine.KEEP_ALIVE, concurrency=6, pause_s=0.002, longest_pause_s=0.05)


def start(host: Host, command: list[str], port: int, more: str = "") -> None:
    """Start both apps on one port."""
    for name in (SHOP, SITE):
        host.start(name, command, port=port, release=f"{name}-1", more=SHARED + more)


def release(
    host: Host, name: str, number: int, *, command: list[str], port: int, more: str = ""
) -> None:
    """Release one of them."""
    text = f"{name}-{number}"
    host.declare(name, command, port=port, release=text, more=SHARED + more)
    host.ok("reload", name)


def each_answers(load: Load, *releases: str) -> None:
    """Wait until each of the releases has answered more, and see that no other does."""
    before = load.versions()

    def are_enough() -> bool:
        now = load.versions()
        return all(now.get(each, 0) >= before.get(each, 0) + 20 for each in releases)

    try:
        load.until(are_enough, "answers of each")
    except AssertionError as error:
        told = f"{error}: {before} became {load.versions()}, {load.lost()} lost"
        raise AssertionError(told) from None


def nobody_else_answers(load: Load, *releases: str) -> None:
    """See that new requests are answered by these releases alone."""
    before = load.versions()
    load.wait_for(60)
    more = {
        name for name, count in load.versions().items() if count > before.get(name, 0)
    }
    assert more <= set(releases), more


def strays(ledger: Path) -> list[list[str]]:
    """Return what has answered on the connections that came from one app to the other."""
    by_client: dict[tuple[str, int], list[list[str]]] = {}
    for line in ledger.read_text().splitlines():
        request = json.loads(line)
        own = by_client.setdefault((request["kind"], request["client"]), [])
        if not request["reused"] or not own:
            own.append([])
        own[-1].append(request["version"])
    every: Iterable[list[str]] = (each for own in by_client.values() for each in own)
    return [each for each in every if len({v.partition("-")[0] for v in each}) > 1]


def is_open(port: int) -> bool:
    """Return whether somebody listens at a port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("command", "count"), matrix([(THREADS, 1), (THREADS, 8), (NODE, 8)], (THREADS, 1))
)
def test_a_release_of_one_loses_nothing_and_leaves_the_other_alone(
    host: Host, tmp_path: Path, command: list[str], count: int
) -> None:
    """Kept connections are taken over; what is asked on them stays with its app."""
    port = wait.free_port()
    start(host, command, port)
    ledger = tmp_path / "ledger"
    with run_load(port, NEW, KEPT, ledger=ledger) as load:
        each_answers(load, "shop-1", "site-1")
        site = host.app(SITE)["pids"]
        for number in range(2, count + 2):
            release(host, SHOP, number, command=command, port=port)
            each_answers(load, f"shop-{number}", "site-1")
        assert host.app(SITE)["pids"] == site
        release(host, SITE, 2, command=command, port=port)
        each_answers(load, f"shop-{count + 1}", "site-2")
        report = load.stop()
    assert report.lost == 0, str(report)
    assert not strays(ledger)
    taken = host.app(SITE)["last_report"]["connections"]
    assert taken["cut"] == 0, taken


def test_who_stops_leaves_all_to_the_other_and_the_last_one_closes_the_port(
    host: Host,
) -> None:
    """No new connection is lost, nor while the first one comes back."""
    port = wait.free_port()
    start(host, TINY, port)
    with run_load(port, NEW) as load:
        each_answers(load, "shop-1", "site-1")
        host.ok("stop", SHOP)
        nobody_else_answers(load, "site-1")
        host.ok("start", "shop.toml")
        each_answers(load, "shop-1", "site-1")
        host.ok("delete", SITE)
        nobody_else_answers(load, "shop-1")
        report = load.stop()
    assert report.lost == 0, str(report)
    host.ok("stop", SHOP)
    assert not is_open(port)


@pytest.mark.soak
def test_who_crashes_leaves_all_to_the_other_until_it_is_back(host: Host) -> None:
    """What waits to be accepted goes on to the other one: nobody has seen it yet."""
    port = wait.free_port()
    start(host, TINY, port, "restart = { delay_s = 3600 }\n")
    with run_load(port, NEW) as load:
        for number in (1, 2, 3):
            each_answers(load, *(f"{each}-{number}" for each in (SHOP, SITE)))
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(b"GET /die HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = sock.makefile().read()
            died, lives = (SHOP, SITE) if SHOP in answer else (SITE, SHOP)
            gone(host, died)
            nobody_else_answers(load, f"{lives}-{number}")
            for each in (died, lives):
                more = "restart = { delay_s = 3600 }\n"
                release(host, each, number + 1, command=TINY, port=port, more=more)
        report = load.stop()
    assert report.lost == 0, str(report)


def gone(host: Host, name: str) -> None:
    """Wait until it is noticed that an app has no instance."""
    wait.until(lambda: not host.app(name)["pids"], f"{name} to end")


@pytest.mark.soak
def test_who_gives_up_leaves_all_to_the_other(host: Host) -> None:
    """With its sockets too."""
    port = wait.free_port()
    start(host, TINY, port, "restart = { automatic = false }\n")
    with run_load(port, NEW) as load:
        each_answers(load, "shop-1", "site-1")
        os.kill(host.app(SHOP)["pids"][0], signal.SIGKILL)
        wait.until(lambda: host.status(SHOP) != "online", "it has given up")
        nobody_else_answers(load, "site-1")
        lost = load.lost()
        release(host, SITE, 2, command=TINY, port=port)
        nobody_else_answers(load, "site-2")
        report = load.stop()
    assert report.lost == lost <= NEW.concurrency, str(report)


@pytest.mark.soak
@pytest.mark.parametrize("more", ["", "instances = 2\n"])
def test_a_recycle_of_one_loses_nothing(host: Host, more: str) -> None:
    """The other has all connections while nobody of the first one accepts."""
    port = wait.free_port()
    start(host, THREADS, port)
    more = f"overlap = false\nmin_healthy_s = 0.2\n{more}"
    release(host, SHOP, 1, command=THREADS, port=port, more=more)
    with run_load(port, NEW) as load:
        each_answers(load, "shop-1", "site-1")
        for number in (2, 3, 4):
            release(host, SHOP, number, command=THREADS, port=port, more=more)
            each_answers(load, f"shop-{number}", "site-1")
        report = load.stop()
    assert report.lost == 0, str(report)


@pytest.mark.soak
@pytest.mark.parametrize("victims", ["supervisor", "both", "all"])
def test_parts_outlive_what_dies_of_gapless(
    host: Host, tmp_path: Path, victims: str
) -> None:
    """Whoever follows goes on with them, releases and stops."""
    port = wait.free_port()
    start(host, THREADS, port)
    ledger = tmp_path / "ledger"
    count = {"supervisor": 1, "both": 2, "all": 3}[victims]
    with run_load(port, NEW, KEPT, ledger=ledger) as load:
        each_answers(load, "shop-1", "site-1")
        for number in (2, 3, 4):
            for name in (SHOP, SITE):
                release(host, name, number, command=THREADS, port=port)
            written(host)
            pids = host.own_pids()[:count]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            each_answers(load, f"shop-{number}", f"site-{number}")
            host.start_supervisor()
            wait.until(lambda: len(host.json("list")["apps"]) == 2, "both are there")
            each_answers(load, f"shop-{number}", f"site-{number}")
        report = load.stop()
    assert report.lost == 0, str(report)
    assert not strays(ledger)
    with run_load(port, NEW) as load:
        host.ok("stop", SHOP)
        nobody_else_answers(load, "site-4")
        assert load.stop().lost == 0
    host.ok("stop", SITE)
    assert not is_open(port)


def written(host: Host) -> None:
    """Wait until the notes on disk say that both releases are alone."""

    def generations(name: str) -> list[str]:
        file = host.home / "notes" / f"{name}.json"
        found = json.loads(file.read_text())["app"]["generations"]
        return [each["role"] for each in found]

    wait.until(lambda: generations(SHOP) == generations(SITE) == ["serving"], "notes")


@pytest.mark.soak
def test_a_first_start_that_fails_gets_no_connection(host: Host) -> None:
    """Until it is ready the other one has them all."""
    port = wait.free_port()
    host.start(SHOP, THREADS, port=port, release="shop-1", more=SHARED)
    with run_load(port, NEW) as load:
        each_answers(load, "shop-1")
        more = f'{SHARED}ready = {{ http = "/", timeout_s = 1 }}\n'
        host.declare(SITE, THREADS, port=port, release="site-1", more=more)
        text = (host.directory / "site.toml").read_text()
        text = text.replace('RELEASE = "site-1"', 'RELEASE = "site-1", BROKEN = "1"')
        host.configure(text, "site.toml")
        assert host.gapless("start", "site.toml").returncode == 1
        report = load.stop()
    assert report.lost == 0, str(report)
    assert set(report.versions) == {"shop-1"}


@pytest.mark.soak
def test_who_listens_after_it_counts_as_ready_has_its_part_then(
    host: Host, tmp_path: Path
) -> None:
    """Whether it is alone at the port then or not; the stop of the other loses nothing."""
    port = wait.free_port()
    for first, second in ((SHOP, SITE), (SITE, SHOP)):
        gate = tmp_path / first
        os.mkfifo(gate)
        late = f"open({str(gate)!r}).read(); import runpy; "
        late += "runpy.run_path('tiny.py', run_name='__main__')"
        command = [sys.executable, "-I", "-S", "-c", late]
        if second == SHOP:
            host.start(second, TINY, port=port, release=f"{second}-1", more=SHARED)
        host.declare(first, command, port=port, release=f"{first}-1", more=SHARED)
        host.ok("start", f"{first}.toml")
        assert host.status(first) == "online"
        gate.write_text("listen")
        wait.until(lambda: host.row(first)["addresses"], f"{first} to listen", 30)  # noqa: B023 - it is called here
        if second == SITE:
            host.start(second, TINY, port=port, release=f"{second}-1", more=SHARED)
        with run_load(port, NEW) as load:
            each_answers(load, "shop-1", "site-1")
            host.ok("stop", second)
            nobody_else_answers(load, f"{first}-1")
            assert load.stop().lost == 0
        host.ok("stop", first)


@pytest.mark.soak
def test_cluster_mode_of_pm2_shares_and_a_fork_does_not(host: Host) -> None:
    """`check` says so before; an app that is not declared so is told what to write."""
    port = wait.free_port()

    def app(name: str, mode: str) -> dict[str, object]:
        return {
            "name": name,
            "script": "app.js",
            "cwd": str(APPS),
            "exec_mode": mode,
            "instances": 1,
            "env": {"PORT": port, "RELEASE": f"{name}-1"},
        }

    both = {"apps": [app(SHOP, "cluster"), app(SITE, "cluster")]}
    host.configure(json.dumps(both), "pm2.json")
    done = host.gapless("check", "pm2.json")
    assert f"shop and site share port {port}" in done.stdout + done.stderr
    host.ok("start", "pm2.json")
    with run_load(port, NEW) as load:
        each_answers(load, "shop-1", "site-1")
        assert load.stop().lost == 0
    assert 'share_ports = "cluster"' in host.ok("describe", SHOP)
    alone = {"apps": [app("third", "fork")]}
    host.configure(json.dumps(alone), "third.json")
    done = host.gapless("start", "third.json")
    assert done.returncode == 1
    assert 'share_ports = "web"' in done.stdout + done.stderr
    host.ok("reload", SHOP)
