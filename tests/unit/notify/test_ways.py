"""One attempt to tell: it ends in its time, and says why it failed."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.base.outside import dial
from gapless.notify import ways, webhook
from gapless.notify.model import Command, Event, Format, Kind, Mail, Target, Webhook
from rig.receivers.webhook import (
    Answer,
    WebhookReceiver,
    hangs,
    hangs_up,
    status,
    trickles,
)
from rig.wait import free_port, until

EVENT = Event(identity="abc", kind=Kind.FAILED, app="shop", text="it failed", at="now")
QUICK_S = 0.3


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """Return a receiver that takes everything."""
    found = WebhookReceiver(status(200))
    yield found
    found.close()


def target(way: Webhook | Command | Mail, timeout_s: float = 20.0) -> Target:
    """Return a target that is told everything."""
    return Target(name="ops", way=way, kinds=frozenset(Kind), timeout_s=timeout_s)


# --- webhooks -----------------------------------------------------------------------------


def test_a_webhook_is_told(receiver: WebhookReceiver) -> None:
    """By POST, with the token, in JSON."""
    way = Webhook(url=receiver.url, token="s3cret-token")
    assert ways.tell(target(way), EVENT, 0).told
    assert receiver.bodies[0]["text"] == "it failed"
    head = receiver.heads[0]
    assert head.startswith("POST /hook?key=secret-of-the-url HTTP/1.1\r\n")
    assert "Authorization: Bearer s3cret-token" in head
    assert "Content-Type: application/json" in head


def test_slack_is_told_in_its_form(receiver: WebhookReceiver) -> None:
    """Mattermost takes the same."""
    way = Webhook(url=receiver.url, format=Format.SLACK)
    assert ways.tell(target(way), EVENT, 0).told
    assert set(receiver.bodies[0]) == {"text"}


@pytest.mark.parametrize(
    ("answer", "reason", "again"),
    [
        (status(500, body=b"bad\x1b[2J  gateway"), "it answered 500", True),
        (status(429, "Retry-After: 7"), "it answered 429", True),
        (status(404, body=b"no hook"), "it answered 404", False),
        (status(302, "Location: http://127.0.0.1:1/"), "a redirect", False),
        (hangs_up, "remotedisconnected", True),
        (status(500, "Retry-After: soon"), "it answered 500", True),
    ],
)
def test_a_webhook_that_refuses_says_why(
    receiver: WebhookReceiver, answer: Answer, reason: str, *, again: bool
) -> None:
    """And whether another attempt may help; the URL is not in it."""
    receiver.answer = answer
    found = ways.tell(target(Webhook(url=receiver.url, token="t" * 20)), EVENT, 0)
    assert not found.told
    assert reason in found.reason
    assert found.again is again
    assert "secret-of-the-url" not in found.reason
    assert found.reason.isprintable()
    assert len(receiver.bodies) == 1  # nobody else was told


def test_a_receiver_may_ask_for_time(receiver: WebhookReceiver) -> None:
    """Within a bound."""
    for text, wait_s in (("7", 7), ("99999", 300), ("999999999", 0), ("-1", 0)):
        receiver.answer = status(503, f"Retry-After: {text}")
        assert ways.tell(target(Webhook(url=receiver.url)), EVENT, 0).wait_s == wait_s


@pytest.mark.parametrize("answer", [hangs, trickles])
def test_a_webhook_that_never_answers_has_its_time(
    receiver: WebhookReceiver, answer: Answer
) -> None:
    """However it does that."""
    receiver.answer = answer
    began = time.monotonic()
    found = ways.tell(target(Webhook(url=receiver.url), QUICK_S), EVENT, 0)
    assert found.reason == f"no answer in {QUICK_S:g} s"
    assert found.again
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("code", [400, 404, 500])
def test_a_receiver_that_repeats_its_secrets_is_not_quoted(
    receiver: WebhookReceiver, code: int
) -> None:
    """Neither the URL nor the token reaches our log, in any form."""
    said = b"no route for /hook?key=secret-of-the-url, key%3Dsecret%2Dof, s3cret-token"
    receiver.answer = status(code, body=said)
    way = Webhook(url=receiver.url, token="s3cret-token")
    assert ways.tell(target(way), EVENT, 0).reason == f"it answered {code}"


def test_a_name_that_is_not_resolved_has_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The C library may take half a minute."""
    ends = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ends.wait(60))
    found = ways.tell(target(Webhook(url="http://x.invalid/"), QUICK_S), EVENT, 0)
    ends.set()
    assert (found.told, found.reason) == (False, f"no answer in {QUICK_S:g} s")


def _answers_of_a_name(*ports: int) -> list[Any]:
    kind = socket.AF_INET, socket.SOCK_STREAM, 0, ""
    return [(*kind, ("127.0.0.1", port)) for port in ports]


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its share."""
    with socket.socket() as full, socket.socket() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting.connect(full.getsockname())  # no other one is answered
        port = int(receiver.url.split(":")[2].partition("/")[0])
        found = _answers_of_a_name(full.getsockname()[1], port)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        url = receiver.url.replace("127.0.0.1", "x.invalid")
        assert ways.tell(target(Webhook(url=url), 2.0), EVENT, 0).told


def test_a_handshake_without_an_end_has_its_time(receiver: WebhookReceiver) -> None:
    """As everything has that a receiver does."""
    receiver.answer = hangs
    url = receiver.url.replace("http:", "https:")
    found = ways.tell(target(Webhook(url=url), QUICK_S), EVENT, 0)
    assert found.reason == f"no answer in {QUICK_S:g} s"


def test_what_is_late_before_it_is_sent_is_not_sent(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be told twice: it counts as not told."""
    real = dial.dial

    def slow(host: str, port: int, ends_at: float, _: None) -> socket.socket:
        sock = real(host, port, ends_at, None)
        until(lambda: time.monotonic() >= ends_at, "the end of its time")
        return sock

    monkeypatch.setattr(webhook, "dial", slow)
    found = ways.tell(target(Webhook(url=receiver.url), QUICK_S), EVENT, 0)
    assert found.reason == f"no answer in {QUICK_S:g} s"
    assert receiver.bodies == []


def test_a_webhook_that_does_not_listen() -> None:
    """Is tried again."""
    found = ways.tell(target(Webhook(url=f"http://127.0.0.1:{free_port()}/")), EVENT, 0)
    assert (found.told, found.again, found.reason) == (
        False,
        True,
        "connection refused",
    )


def test_a_certificate_that_nobody_knows_is_refused(receiver: WebhookReceiver) -> None:
    """Nothing is sent where TLS does not say who it is."""
    url = receiver.url.replace("http:", "https:")
    receiver.answer = hangs_up
    found = ways.tell(target(Webhook(url=url), 2.0), EVENT, 0)
    assert not found.told
    assert receiver.bodies == []


# --- programs -----------------------------------------------------------------------------


def program(directory: Path, text: str) -> str:
    """Write a program of Python; return its path."""
    path = directory / "program"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_command_reads_the_event(tmp_path: Path) -> None:
    """From its input, and the main things from its environment."""
    words = program(
        tmp_path,
        f"open({str(tmp_path / 'got')!r}, 'w').write(json.dumps("
        "[json.load(sys.stdin), os.environ['GAPLESS_EVENT'], sys.argv[1:],"
        " os.environ['GAPLESS_EVENT_TEXT']]))",
    )
    way = Command(words=(words, "$(id)", "a b"))
    assert ways.tell(target(way), EVENT, 0).told
    event, kind, arguments, text = json.loads((tmp_path / "got").read_text())
    assert (event["id"], kind, text) == ("abc", "failed", "it failed")
    assert arguments == ["$(id)", "a b"]


def test_a_command_that_fails_has_last_words(tmp_path: Path) -> None:
    """Of however much it prints."""
    text = (
        "sys.stdin.read(); print('x' * 10**6); print('no route\\x1b[2J'); sys.exit(3)"
    )
    found = ways.tell(target(Command(words=(program(tmp_path, text),))), EVENT, 0)
    assert not found.told
    assert "exited with code 3" in found.reason
    assert found.reason.isprintable()


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """It has its time, like everybody."""
    pids = tmp_path / "pids"
    text = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(600)"
    )
    found = ways.tell(target(Command(words=(program(tmp_path, text),)), 2.0), EVENT, 0)
    assert "not over in 2 s" in found.reason
    for pid in pids.read_text().split():
        until_ended(int(pid))


def until_ended(pid: int) -> None:
    """Wait for the end of a process."""
    until(lambda: not lives(pid), f"the end of {pid}")


def lives(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state not in "ZX"


def test_a_command_that_is_not_there() -> None:
    """By its name."""
    found = ways.tell(target(Command(words=("/nowhere/program",))), EVENT, 0)
    assert found.reason == "/nowhere/program: no such file or directory"


def test_a_command_that_reads_nothing_is_fine() -> None:
    """Its input is no pipe that could break."""
    assert ways.tell(target(Command(words=("true",))), EVENT, 0).told


def test_a_mail_goes_to_sendmail(tmp_path: Path) -> None:
    """The addresses are those of the configuration, behind --."""
    got = tmp_path / "got"
    text = (
        f"open({str(got)!r}, 'w').write(json.dumps([sys.argv[1:], sys.stdin.read()]))"
    )
    way = Mail(
        to=("ops@example.org",),
        sender="me@example.org",
        program=program(tmp_path, text),
    )
    assert ways.tell(target(way), EVENT, 0).told
    arguments, mail = json.loads(got.read_text())
    assert arguments == ["-i", "-f", "me@example.org", "--", "ops@example.org"]
    assert mail.startswith("To: ops@example.org\nFrom: me@example.org\n")
    assert os.linesep in mail
