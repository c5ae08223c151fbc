"""Publishers that lose their terminal, their disk or an upload: what serves is told."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
import subprocess
import termios
import threading
from pathlib import Path
from typing import Any

from gapless.agent.turn import first_start
from gapless.base.errors import MisuseError
from gapless.cli import configuration, deeds
from gapless.client import Client
from gapless.config.toml.fleets import Fleet
from gapless.releases import current, publisher_lock
from gapless.rollout.policy import Policy
from gapless.web.deeds import Deed
from rig.crash.publisher.site import Site
from rig.hosts.host import GAPLESS, Host
from rig.hosts.small_disk import SmallDisk
from rig.wait import free_port, until


def test_a_publisher_that_loses_its_terminal_goes_on(host: Host) -> None:
    """The window is closed in the middle of the handoff: SIGHUP, and EIO from then on."""
    site = Site(host, releases=2)
    text = (host.directory / "gapless.toml").read_text()
    host.configure(text.replace("min_healthy_s = 0.1", "min_healthy_s = 2"))
    tarball = site.pack(host.directory / "shop.tar.gz", "3")
    ours, theirs = pty.openpty()
    publisher = subprocess.Popen(
        [str(GAPLESS), "publish", str(tarball)],
        cwd=host.directory,
        env=host.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no thread
    )
    os.close(theirs)
    said = b""
    while b"proves itself" not in said:
        said += os.read(ours, 4096)
    os.close(ours)
    assert publisher.wait(60) == 0, said
    assert (site.serving(), site.linked()) == ("3", "3")
    host.ok("rollback", "shop")
    assert (site.serving(), site.linked()) == ("2", "2")


def test_a_rollback_on_a_full_disk_is_whole(host: Host) -> None:
    """The link names what serves: a publish has left the space that this takes."""
    disk = SmallDisk(host.directory / "dfs", 8)
    try:
        site = Site(host, releases=1)
        host.ok("publish", site.pack(host.directory / "shop.tar.gz", "2"))
        assert (site.serving(), site.linked()) == ("2", "2")
        disk.fill()
        done = host.gapless("rollback", "shop")
        assert (site.serving(), site.linked()) == ("1", "1"), done.stdout + done.stderr
        assert done.returncode == 0, done.stdout + done.stderr
        disk.free()
    finally:
        host.gapless("shutdown")
        disk.close()


def test_two_rollbacks_at_once_go_back_once(host: Host) -> None:
    """Two clicks, or two people: the second one has seen what the first one left."""
    site = Site(host, releases=3)
    client, config = Client(str(host.home)), str(host.directory / "gapless.toml")
    steps: list[dict[str, Any]] = []
    ended: list[str] = []

    def roll_back(seen: str = "") -> None:
        deed = Deed(action="rollback", app="shop", release=seen)
        try:
            ended.append(deeds.perform(client, config, deed, steps.append)["outcome"])
        except MisuseError as error:
            ended.append(error.message)

    both = [threading.Thread(target=roll_back) for _ in range(2)]
    with publisher_lock.hold(configuration.release(config, "shop"), lambda *_: None):
        for each in both:
            each.start()
        until(lambda: [s["step"] for s in steps].count("waiting") == 2, "both to wait")
    for each in both:
        each.join(60)
    assert (site.serving(), site.linked()) == ("2", "2"), ended
    now, before = site.path_of(2).name, site.path_of(3).name
    refusal = (
        f"shop: {now} serves now, and {before} did when this rollback was asked for"
    )
    assert sorted(ended) == ["done", refusal]
    roll_back(before)
    assert ended[2] == refusal
    roll_back(now)
    assert ended[3] == "done"
    assert (site.serving(), site.linked()) == ("1", "1")


def test_a_rollback_while_another_drains_goes_back_no_further(host: Host) -> None:
    """Its release serves already, and the one that both want to leave still drains."""
    site = Site(host, releases=3)
    client, config = Client(str(host.home)), str(host.directory / "gapless.toml")
    steps: list[dict[str, Any]] = []
    ended: list[str] = []

    def roll_back() -> None:
        deed = Deed(action="rollback", app="shop")
        try:
            ended.append(deeds.perform(client, config, deed, steps.append)["outcome"])
        except MisuseError as error:
            ended.append(f"{error.message}; {error.hint}")

    first, second = (threading.Thread(target=roll_back) for _ in range(2))
    with socket.create_connection(("127.0.0.1", site.port)) as request:
        request.sendall(b"GET / HTTP/1.1\r\n")  # keeps the release there
        first.start()
        until(lambda: site.linked() == "2", "the first to have its release serve")
        second.start()
        until(lambda: "waiting" in [s["step"] for s in steps], "the second to wait")
        request.sendall(b"\r\n")
    for each in (first, second):
        each.join(60)
    assert (site.serving(), site.linked()) == ("2", "2"), ended
    back = site.path_of(2).name
    assert ended == [
        "done",
        f"shop: another rollback, to {back}, was under way when this one was asked for; "
        f"{back} serves now; nothing was done; `gapless rollback shop` goes back once more",
    ]
    host.ok("rollback", "shop")
    assert (site.serving(), site.linked()) == ("1", "1")


def test_of_three_publishers_of_one_upload_one_tells_the_outcome(host: Host) -> None:
    """The others find that it was taken, which is no failure."""
    site = Site(host, releases=1)
    text = (host.directory / "gapless.toml").read_text()
    host.configure(text.replace("build = []", 'build = ["sleep", "1"]'))
    upload = site.pack(site.inbox / "shop-1a2b.tar.gz", "2")
    site.add_checksum(upload)
    watchers = [host.begin("watch", "--once") for _ in range(3)]
    said = [each.communicate(timeout=60)[0] for each in watchers]
    assert [each.returncode for each in watchers] == [0, 0, 0], said
    assert site.outcome(upload.name) == "done", said
    assert (site.serving(), site.linked()) == ("2", "2")
    assert len(host.json("releases", "shop")) == 2
    assert site.left_over() == []


def test_a_first_start_in_a_fleet_waits_for_a_slow_app(host: Host) -> None:
    """It listens after `min_uptime_s`: until then it could be an app without a port."""
    directory = host.directory / "app"
    directory.mkdir()
    (directory / "app.py").write_text(
        "import os, select, socket\n"
        "select.select([], [], [], 1.5)\n"
        "listener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
        "select.select([], [], [])\n"
    )
    made = host.directory / "dfs" / "dist" / "slow-20260101000001"
    made.parent.mkdir(parents=True)
    directory.rename(made)
    (made / "RELEASE").write_text("20260101000001\n")
    host.configure(
        '[app.slow]\ncommand = ["python3", "app.py"]\ndirectory = "dfs/dist/slow"\n'
        "restart = { min_uptime_s = 0.3 }\nready = { timeout_s = 30 }\n"
        f"environment = {{ PORT = {free_port()} }}\n"
        '[release.slow]\nbase = "dfs"\n'
    )
    fleet = _fleet(host)
    release = current.releases(fleet.release)[0]
    current.flip(fleet.release, release)
    host.configure('[app.other]\ncommand = ["sleep", "300"]\n', "other.toml")
    host.ok("start", "other.toml")  # and so a supervisor runs
    client = Client(str(host.home))
    report = first_start.start(client, fleet, fleet.release, release)
    assert report["outcome"] == "done"
    assert host.app("slow")["addresses"]


def _fleet(host: Host) -> Fleet:
    from gapless.cli import configuration

    path = host.directory / "gapless.toml"
    return Fleet(
        release=configuration.release(str(path), "slow"),
        policy=Policy(),
        file=str(path),
        directory=str(Path(path).parent),
        etcd=None,
        copy="",
    )
