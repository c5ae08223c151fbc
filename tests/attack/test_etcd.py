"""An etcd that others write, and what answers in its place: typed, bounded, or refused."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from gapless.base.errors import ConflictError, UnavailableError
from gapless.coordinator import bounded_answer, model
from gapless.coordinator.decoding import EtcdRange
from gapless.coordinator.etcd import EtcdCoordinator
from gapless.coordinator.etcd_settings import EtcdSettings
from gapless.rollout import records
from gapless.rollout.model import Rollout
from gapless.rollout.store import FleetStore
from rig.programs.etcd import Etcd

ROLLOUT = Rollout(app="shop", number=7, release="shop-20260101000002")
TIMEOUT_S = 0.4
LATE_S = 4.0
"""Many times the timeout: no request takes so long."""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


# --- keys of others, in a real etcd ----------------------------------------------------


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """Run one etcd for the tests of this file."""
    found = Etcd(tmp_path_factory.mktemp("etcd")).start()
    try:
        yield found
    finally:
        found.kill()


def test_keys_of_others_are_named_once_and_left_out(
    etcd: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No agent ends, and no other app has to wait."""
    complaints: list[str] = []
    own = EtcdCoordinator(EtcdSettings(endpoints=(etcd.url,)), complaints.append)
    good = own.write("rollout/shop", records.encode_rollout(ROLLOUT), expected=0)
    foreign = {
        b"rollout/\xff\xfe": b"",
        b"rollout/a\nb": b"",
        b"rollout/../x": b"",
        b"rollout/": b"",
        b"rollout//a": b"",
        b"rollout/\x1b[2J": b"",
        b"rollout/\x00": b"",
        b"rollout/" + b"x" * 300: b"",
        b"rollout/large": b"x" * (model.LARGEST_VALUE_BYTES + 1),
    }
    for key, value in foreign.items():
        put = {"key": _base64(b"gapless/" + key), "value": _base64(value)}
        own._gateway.ask("kv/put", put, EtcdRange)
    nested = own.write("rollout/nested", b"[" * 200_000, expected=0)
    for _ in range(2):
        assert own.read_all("rollout") == {
            "rollout/shop": good,
            "rollout/nested": nested,
        }
    assert own.read("rollout/large") is None
    assert len(complaints) == len(foreign)
    assert all(each.isprintable() and len(each) < 300 for each in complaints)
    store = FleetStore(own, "shop", now=lambda: 0.0, complain=complaints.append)
    assert store.wait(0.0)
    assert store.rollout_after_wait()[0] == ROLLOUT
    assert (
        FleetStore(own, "nested", now=lambda: 0.0, complain=print).rollout()[0] is None
    )
    monkeypatch.setattr(model, "MOST_KEYS", 5)
    with pytest.raises(UnavailableError, match="more than 5 keys"):
        own.read_all("rollout")


# --- what answers in the place of etcd -------------------------------------------------

Serve = Callable[[socket.socket], None]


@contextmanager
def _answering(serve: Serve) -> Iterator[EtcdCoordinator]:
    """Serve each connection in a thread; yield a coordinator that asks there."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    ends = threading.Event()

    def one(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            connection.settimeout(LATE_S)
            connection.recv(65536)
            serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while not ends.is_set():
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=one, args=(connection,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    port = listener.getsockname()[1]
    settings = EtcdSettings(
        endpoints=(f"http://127.0.0.1:{port}",), timeout_s=TIMEOUT_S
    )
    try:
        yield EtcdCoordinator(settings, pytest.fail)
    finally:
        ends.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for each in (accepting, *threads):
            each.join(2 * LATE_S)


def _says(head: bytes, body: bytes = b"") -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(head + b"\r\n\r\n" + body)

    return serve


def _ok(body: bytes) -> Serve:
    return _says(b"HTTP/1.1 200 OK\r\nContent-Length: %d" % len(body), body)


def _dripping(first: bytes, then: bytes) -> Serve:
    """Send something each 50 ms, which no timeout of a socket notices."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(first)
        until = time.monotonic() + LATE_S
        waits = threading.Event()
        while time.monotonic() < until:
            connection.sendall(then)
            waits.wait(0.05)

    return serve


def _endless(head: bytes, piece: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(head)
        until = time.monotonic() + LATE_S
        while time.monotonic() < until:
            connection.sendall(piece)

    return serve


_HEADER = {"header": {"revision": "5"}}


def _kvs(**changed: object) -> bytes:
    entry = {"key": _base64(b"gapless/a/b"), "mod_revision": "3", "value": ""}
    return json.dumps(_HEADER | {"kvs": [entry | changed]}).encode()


WRONG: dict[str, Serve] = {
    "not HTTP": _says(b"SSH-2.0-x"),
    "nothing": lambda _: None,
    "no JSON": _ok(b"<html>"),
    "no UTF-8": _ok(b'{"kvs": "\xff"}'),
    "a list": _ok(b"[]"),
    "null": _ok(b"null"),
    "nested": _ok(b"[" * 200_000),
    "nested field": _ok(b'{"header": {"revision": "1"}, "x": ' + b"[" * 200_000),
    "digits": _ok(b'{"header": {"revision": ' + b"9" * 5000 + b"}}"),
    "no header": _ok(b'{"kvs": []}'),
    "no revision": _ok(b'{"header": {}}'),
    "revision": _ok(b'{"header": {"revision": "x"}}'),
    "large revision": _ok(b'{"header": {"revision": "' + b"9" * 400 + b'"}}'),
    "kvs": _ok(json.dumps(_HEADER | {"kvs": {"a": 1}}).encode()),
    "kv": _ok(json.dumps(_HEADER | {"kvs": [7]}).encode()),
    "key": _ok(_kvs(key=7)),
    "base64": _ok(_kvs(key="%%%")),
    "value": _ok(_kvs(value=["x"])),
    "mod_revision": _ok(_kvs(mod_revision="-1")),
    "mod_revision type": _ok(_kvs(mod_revision=None)),
    "redirect": _says(
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0"
    ),
    "refusal": _says(
        b"HTTP/1.1 500 \x1b[2J\r\nContent-Length: 30",
        b'{"message": "\\u001b[2J\\n evil"}',
    ),
    "many headers": _says(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500),
    "long header": _says(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000),
    "length": _says(b"HTTP/1.1 200 OK\r\nContent-Length: -1", b"{}"),
    "cut off": _says(b"HTTP/1.1 200 OK\r\nContent-Length: 99", b"{}"),
    "chunks": _says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"-5\r\nx"),
    "slow head": _dripping(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "slow line": _dripping(b"HTTP/1.1 ", b"2"),
    "slow body": _dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" "),
    "interim": _dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "silence": lambda connection: (connection.recv(1), None)[1],
}


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_is_none_is_one_error_in_time(name: str) -> None:
    """The error can be printed; a write that may have been done says so."""
    with _answering(WRONG[name]) as own:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="etcd does not answer") as caught:
            own.read_all("a")
        # What is no answer to a read may be one to a write: it was too late.
        with pytest.raises((UnavailableError, ConflictError)) as written:
            own.write("a", b"x", expected=0)
        assert time.monotonic() - began < LATE_S
        for error in (caught.value, written.value):
            assert error.message.isprintable()
            assert len(error.message) < 800


def test_an_answer_without_an_end_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a body nor in a line of a watch."""
    monkeypatch.setattr(bounded_answer, "MOST_BYTES", 1 << 20)
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with _answering(_endless(head, b" " * 65536)) as own:
        with pytest.raises(UnavailableError, match=r"more than 1 MiB|timed out"):
            own.read_all("a")
        began = time.monotonic()
        watch = own._range("a") | {"start_revision": "1"}
        own._gateway.is_unchanged(watch, TIMEOUT_S)
        assert time.monotonic() - began < LATE_S


@pytest.mark.parametrize(
    "line",
    [
        *(b"[]\n", b"7\n", b"x\n", b'{"result": 7}\n', b'{"result": []}\n'),
        *(b'{"error": {"message": "x"}}\n', b"[" * 100_000 + b"\n", b"\n", b""),
        b'{"result": {"events": "x"}}\n',
    ],
)
def test_a_watch_that_says_nonsense_is_over(line: bytes) -> None:
    """What it would have shown is read again; it neither raises nor waits for ever."""
    with _answering(_says(b"HTTP/1.1 200 OK", line)) as own:
        began = time.monotonic()
        own._gateway.is_unchanged(own._range("a"), TIMEOUT_S)
        assert time.monotonic() - began < LATE_S


@pytest.mark.parametrize(
    "token", [7, "", "a\r\nX-Evil: 1", "x" * 9000, "é", None, ["x"], "\x00"]
)
def test_a_token_is_one_word_of_a_header(token: object) -> None:
    """Nothing that answers a login adds headers to our requests."""
    with _answering(_ok(json.dumps({"token": token}).encode())) as own:
        settings = EtcdSettings(
            endpoints=own._gateway._settings.endpoints,
            user="root",
            password="x",
            timeout_s=TIMEOUT_S,
        )
        with pytest.raises(UnavailableError, match="token: expected"):
            EtcdCoordinator(settings).read("a")


def test_a_reset_of_revisions_is_a_change_and_not_a_version_of_ours(
    etcd: Etcd, tmp_path: Path
) -> None:
    """An etcd that was restored, or is another one: writes are too late, nothing more."""
    other = Etcd(tmp_path).start()
    try:
        one = EtcdCoordinator(EtcdSettings(endpoints=(etcd.url,), prefix="reset"))
        two = EtcdCoordinator(EtcdSettings(endpoints=(other.url,), prefix="reset"))
        entry = one.write("slots/shop/0", b"x", expected=0)
        for number in range(3):
            two.write(f"other/{number}", b"", expected=0)
        assert two.wait("slots/shop", {"slots/shop/0": entry.version}, 5.0) == {}
        with pytest.raises(ConflictError):
            two.write("slots/shop/0", b"y", expected=entry.version)
    finally:
        other.kill()
