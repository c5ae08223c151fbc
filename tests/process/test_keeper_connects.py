"""Which connections of a program that checks its port a supervisor is asked about."""

from __future__ import annotations

import errno
import json
import socket
import sys
from pathlib import Path
from typing import Any

from rig import wait
from rig.hosts.keeper_line import KeeperLine, spawn

CONNECTS = """
import ctypes, errno, json, os, socket, sys, time

held, other, go, result = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
libc = ctypes.CDLL(None, use_errno=True)


def connect(host, port, kind=socket.SOCK_STREAM):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    return errno.errorcode.get(sock.connect_ex((host, port)), "")


def raw(descriptor, pointer, length):
    libc.connect(descriptor, pointer, length)
    return errno.errorcode[ctypes.get_errno()]


buffer = ctypes.create_string_buffer(
    b"\\2\\0" + held.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(120), 128
)
path, one = socket.socket(socket.AF_UNIX), socket.socket()
found = {
    "udp": connect("127.0.0.1", held, socket.SOCK_DGRAM),
    "no descriptor": raw(999, buffer, 16),
    "no socket": raw(0, buffer, 16),
    "no address": raw(one.fileno(), ctypes.c_void_p(8), 16),
    "half an address": raw(one.fileno(), buffer, 7),
    "a path": errno.errorcode.get(path.connect_ex(result + ".sock"), ""),
    "another port": connect("127.0.0.1", other),
    "refused": connect("127.0.0.1", held),
    "proceeds": connect("::ffff:127.0.0.1", held),
}
sock = socket.socket()
libc.connect(sock.fileno(), buffer, 128)
found["as long as any"] = sock.getpeername()[1] == held
while not os.path.exists(go):
    time.sleep(0.01)
found["alone"] = connect("127.0.0.1", held)
with open(result + ".new", "w") as file:
    json.dump(found, file)
os.rename(result + ".new", result)
"""
KEY = "app/1/0/1"


def test_only_connections_to_a_held_port_are_asked_about(
    keeper: KeeperLine, tmp_path: Path
) -> None:
    """What cannot be read, or is no stream, proceeds; so does all without a supervisor."""
    go, result = tmp_path / "go", tmp_path / "result"
    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        socket.socket() as other,
    ):
        other.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (held, other)]
        keeper.send({"op": "hold", "name": "socket/app", "meta": None}, held.fileno())
        argv = [sys.executable, "-c", CONNECTS, *map(str, (*ports, go, result))]
        keeper.send(spawn(argv=argv, filtered=True, connects=True))
        assert keeper.receive()["event"] == "spawned"
        asked = [_answer(keeper, "fail", errno=errno.ECONNREFUSED)]
        asked += [_answer(keeper, "proceed"), _answer(keeper, "proceed")]
        keeper.channel.close()
        go.touch()
        wait.until(result.exists, "the result")
    v4 = {"event": "connect", "host": "127.0.0.1", "port": ports[0], "kind": "tcp"}
    assert [_place(each) for each in asked] == [
        v4,
        v4 | {"host": "::ffff:127.0.0.1"},
        v4,
    ]
    assert json.loads(result.read_text()) == {
        "udp": "",
        "no descriptor": "EBADF",
        "no socket": "ENOTSOCK",
        "no address": "EFAULT",
        "half an address": "EINVAL",
        "a path": "ENOENT",
        "another port": "ECONNREFUSED",
        "refused": "ECONNREFUSED",
        "proceeds": "",
        "as long as any": True,
        "alone": "",
    }
    keeper.connect_again()


def test_a_port_that_it_has_bound_is_asked_about_no_more(
    keeper: KeeperLine, tmp_path: Path
) -> None:
    """A program that serves may call itself, whoever hangs."""
    result = tmp_path / "result"
    program = """
import os, socket, sys
address = ("127.0.0.1", int(sys.argv[1]))
server = socket.socket()
server.bind(address)
found = socket.socket().connect_ex(address)
with open(sys.argv[2] + ".new", "w") as file:
    file.write(str(found))
os.rename(sys.argv[2] + ".new", sys.argv[2])
"""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        keeper.send({"op": "hold", "name": "socket/app", "meta": None}, held.fileno())
        argv = [sys.executable, "-c", program, str(port), str(result)]
        keeper.send(spawn(argv=argv, filtered=True, connects=True))
        assert keeper.receive()["event"] == "spawned"
        assert _answer(keeper, "inject", held="socket/app")["event"] == "bind"
        wait.until(result.exists, "the result")
    assert result.read_text() == "0"
    assert all(each["event"] != "connect" for each in keeper.until_answered())


def _answer(keeper: KeeperLine, action: str, **more: Any) -> dict[str, Any]:
    """Answer the next call that waits; return it."""
    asked = keeper.receive()
    answer = {"op": "answer", "key": KEY, "id": asked["id"], "action": action}
    keeper.send(answer | more)
    return asked


def _place(message: dict[str, Any]) -> dict[str, Any]:
    return {name: message[name] for name in ("event", "host", "port", "kind")}
