"""`gapless notify` on a real host: what happens is told, once, whoever ends meanwhile."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.background import BackgroundProcess
from rig.fleets.fleet import APP, MakeFleet
from rig.hosts.host import GAPLESS, Host
from rig.receivers.webhook import WebhookReceiver, hangs, status
from rig.wait import free_port, until


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """Return a receiver that takes everything."""
    found = WebhookReceiver(status(200))
    yield found
    found.close()


def declare(host: Host, receiver: WebhookReceiver, more: str = "") -> int:
    """Declare an app, who is told of it, and who tells; return the app's port."""
    port = free_port()
    host.configure(
        f'[app.telling]\ncommand = ["{GAPLESS}", "notify", "-c", "gapless.toml"]\n'
        "min_healthy_s = 0.2\n"
        "[app.shop]\n"
        f'command = ["{sys.executable}", "-m", "http.server", "{port}", "--bind", '
        '"127.0.0.1"]\nmin_healthy_s = 0.2\n'
        f'[notify.ops]\nwebhook = "{receiver.url}"\napps = ["shop", "broken"]\n{more}'
    )
    return port


def until_told(receiver: WebhookReceiver, count: int = 1, **wanted: Any) -> Any:
    """Wait for an event; return the last one."""
    until(lambda: len(receiver.told(**wanted)) >= count, f"{wanted}", 30)
    return receiver.told(**wanted)[-1]


def begun(host: Host) -> None:
    """Wait until the target is followed: what was before that is no news."""
    until((host.home / "notify" / "ops.json").exists, "the target to be followed")


def test_what_happens_is_told_once_through_releases_and_deaths(
    host: Host, receiver: WebhookReceiver
) -> None:
    """Who tells runs as an app, is released, and dies: no event is lost or told twice."""
    declare(host, receiver)
    host.ok("start", "gapless.toml", "--only", "telling")
    begun(host)
    host.ok("start", "gapless.toml", "--only", "shop")
    event = until_told(receiver, kind="done", app="shop", action="start")
    assert event["text"].startswith("shop: start done")
    host.ok("reload", "telling")
    host.ok("reload", "shop")
    until_told(receiver, kind="done", action="reload")
    # While nobody tells, more happens.
    (pid,) = host.row("telling")["pids"]
    os.kill(pid, signal.SIGSTOP)
    host.ok("restart", "shop")
    os.kill(pid, signal.SIGKILL)
    until_told(receiver, kind="done", action="restart")
    broken = host.directory / "broken.toml"
    broken.write_text('[app.broken]\ncommand = "false"\n')
    assert host.gapless("start", "broken.toml").returncode == 1
    assert until_told(receiver, kind="failed", app="broken")["severity"] == "error"
    assert "gave up" in until_told(receiver, kind="gave-up", app="broken")["text"]
    identities = [each["id"] for each in receiver.bodies]
    assert len(identities) == len(set(identities))
    assert {each["app"] for each in receiver.bodies} == {"shop", "broken"}


@pytest.mark.soak
def test_a_receiver_that_is_away_is_told_later_and_in_order(
    host: Host, receiver: WebhookReceiver
) -> None:
    """And holds up neither a release nor the others who are told."""
    got = host.directory / "got"
    script = host.directory / "take"
    script.write_text(f"#!/bin/sh\ncat >> {got}\n")
    script.chmod(0o755)
    declare(
        host,
        receiver,
        f'timeout_s = 0.5\n[notify.pager]\ncommand = "{script}"\napps = ["shop"]\n',
    )
    receiver.answer = hangs
    process = BackgroundProcess(host.directory / "notify.log")
    try:
        host.start_in_background(process, "notify")
        begun(host)
        host.ok("start", "gapless.toml", "--only", "shop")
        host.ok("reload", "shop")
        until(
            lambda: got.exists() and len(got.read_text().splitlines()) == 2, "the pager"
        )
        until(lambda: receiver.bodies, "an attempt")
        process.terminate()
        receiver.answer = status(500)
        before = len(receiver.bodies)
        host.start_in_background(process, "notify")
        until(lambda: len(receiver.bodies) > before, "another attempt")
        receiver.answer = status(200)
        until_told(receiver, kind="done", action="reload")
        actions = [each["action"] for each in receiver.bodies]
        assert actions == sorted(actions, key=["start", "reload"].index)
        assert len(got.read_text().splitlines()) == 2
        assert "no answer in 0.5 s; it is tried again" in process.output()
        assert "secret-of-the-url" not in process.output()
    finally:
        process.terminate()


def test_a_test_message_says_who_was_told(
    host: Host, receiver: WebhookReceiver
) -> None:
    """By exit code, and by name; nothing is started for it."""
    mails = host.directory / "mails"
    program = host.directory / "sendmail"
    program.write_text(f'#!/bin/sh\necho "$@" > {mails}\ncat >> {mails}\n')
    program.chmod(0o755)
    text = (
        f'[notify.ops]\nwebhook = "{receiver.url}"\n'
        f'[notify.mail]\nmail = "ops@example.org"\nsendmail = "{program}"\n'
    )
    host.configure(text)
    assert host.ok("notify", "--test").splitlines() == [
        "notify.ops: told",
        "notify.mail: told",
    ]
    assert receiver.bodies[0]["kind"] == "test"
    first, *_ = mails.read_text().splitlines()
    assert first == "-i -- ops@example.org"
    host.configure(f'{text}[notify.pager]\ncommand = "false"\n')
    done = host.gapless("notify", "--test")
    assert done.returncode == 1
    assert "notify.pager: could not be told: false exited with code 1" in done.stdout
    assert not host.home.exists()


@pytest.mark.soak
def test_many_deaths_lose_no_event(host: Host, receiver: WebhookReceiver) -> None:
    """Who tells is killed again and again while releases go on."""
    declare(host, receiver)
    process = BackgroundProcess(host.directory / "notify.log")
    host.start_in_background(process, "notify")
    begun(host)
    try:
        host.ok("start", "gapless.toml", "--only", "shop")
        for number in range(12):
            process.kill()
            host.start_in_background(process, "notify")
            host.ok("restart", "shop")
            if number % 3 == 0:
                os.kill(host.json("list")["supervisor"]["pid"], signal.SIGKILL)
                host.ok("list")
        until(
            lambda: len({e["id"] for e in receiver.told(action="restart")}) == 12,
            "every restart to be told",
            60,
        )
    finally:
        process.terminate()


@pytest.mark.soak
def test_restarts_and_cuts_are_told(host: Host, receiver: WebhookReceiver) -> None:
    """An instance that dies again and again, and a request that is cut."""
    port = declare(host, receiver, "restarts = 2\n")
    process = BackgroundProcess(host.directory / "notify.log")
    host.start_in_background(process, "notify")
    begun(host)
    try:
        slow = (
            "import socket, sys, time\n"
            f"listener = socket.create_server(('127.0.0.1', {port}))\n"
            "while True:\n"
            "    sock, _ = listener.accept()\n"
            "    sock.recv(100)\n"
            "    time.sleep(600)\n"
        )
        program = host.directory / "slow.py"
        program.write_text(slow)
        command = json.dumps([sys.executable, str(program)])
        (host.directory / "shop.toml").write_text(
            f"[app.shop]\ncommand = {command}\nmin_healthy_s = 0.2\n"
            "takeover = false\n[app.shop.stop]\ndrain_timeout_s = 0.5\n"
            "kill_timeout_s = 0.2\n"
        )
        host.start_file("shop.toml", "shop")
        with connected(port) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            host.ok("reload", "shop")
        event = until_told(receiver, kind="cut", app="shop")
        assert event["cut"]["connections"] == 1
        for _ in range(3):
            (pid,) = host.row("shop")["pids"]
            os.kill(pid, signal.SIGKILL)
            until_another(host, pid)
        assert until_told(receiver, kind="restarts")["restarts"] == 3
    finally:
        process.terminate()


@pytest.mark.soak
def test_rollouts_and_refused_uploads_are_told(
    make_fleet: MakeFleet, receiver: WebhookReceiver
) -> None:
    """On the release server; Prometheus is told of them as well."""
    fleet = make_fleet(kind="python", count=2, policy="slots = 1\nrevert = false")
    fleet.start()
    host = fleet.publisher
    config = host.directory / "gapless.toml"
    with config.open("a") as file:
        file.write(f'\n[notify.ops]\nwebhook = "{receiver.url}"\n')
    process = BackgroundProcess(host.directory / "notify.log")
    host.start_in_background(process, "notify", "--releases")
    try:
        memory = host.home / "notify" / "ops.json"
        until(
            lambda: (
                memory.exists()
                and f"rollouts of {APP}" in json.loads(memory.read_text())["sources"]
            ),
            "the fleet to be known",
        )
        assert fleet.publish("2").returncode == 0
        assert until_told(receiver, kind="done", state="done")["rollout"] == 2
        assert fleet.publish("3 broken").returncode == 1
        event = until_told(receiver, kind="held", state="held")
        assert "resume or abort" in event["hint"]
        text = host.ok("metrics", "--once", "--config", config)
        assert f'gapless_rollout_state{{app="{APP}",state="held"}} 1.0' in text
        assert f'gapless_rollout_hosts{{app="{APP}",phase="failed"}} 1.0' in text
        assert f'gapless_rollout_slots{{app="{APP}"}} 1.0' in text
        fleet.put("4", build="exit 1")
        assert until_told(receiver, kind="failed")["upload"]
        assert len({each["id"] for each in receiver.bodies}) == len(receiver.bodies)
    finally:
        process.terminate()


def until_another(host: Host, pid: int) -> None:
    """Wait until an instance is there that is another process."""
    until(lambda: host.row("shop")["pids"] not in ([], [pid]), "another instance")


def connected(port: int) -> socket.socket:
    """Return a connection."""
    return socket.create_connection(("127.0.0.1", port), 20)


@pytest.mark.soak
def test_the_file_of_a_target_that_is_no_file_of_ours_is_named(
    host: Host, receiver: WebhookReceiver
) -> None:
    """It begins anew, and says so; a disk that is low is told at once."""
    declare(host, receiver, "disk_free_mb = 1073741824\n")
    folder = host.home / "notify"
    folder.mkdir(parents=True, mode=0o700)
    host.home.chmod(0o700)
    place = Path(folder / "ops.json")
    place.write_text('{"version": 1, "told": 7}')
    process = BackgroundProcess(host.directory / "notify.log")
    try:
        host.start_in_background(process, "notify")
        until(lambda: "begins anew" in process.output(), "the complaint")
        until(lambda: json.loads(place.read_text())["version"] == 1, "a new file")
        assert "MB left" in until_told(receiver, kind="disk")["text"]
        assert len(receiver.bodies) == 1
    finally:
        process.terminate()
