"""Ports: the supervisor binds with root's rights, and gives nobody more by it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from gapless.keeper.seccomp import privileges
from gapless.supervisor.sockets.system_calls import may_bind
from rig.hosts.host import NOBODY, Host
from rig.wait import until

LOW = 811
BIND = """
import socket, time
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    sock = socket.socket(socket.AF_INET, kind)
    try:
        sock.bind(("127.0.0.1", 811))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        print("bound", kind.name, flush=True)
    except OSError as error:
        print(error, kind.name, flush=True)
time.sleep(1000)
"""
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def test_an_app_of_another_user_gets_no_port_that_its_user_may_not_have(
    host: Host,
) -> None:
    """The kernel refuses it as if there were no gapless; the configuration can allow it."""
    command = json.dumps(["/usr/bin/python3", "-c", BIND])
    table = f'command = {command}\nuser = "nobody"\ndirectory = "/"\n'
    table += "restart = { min_uptime_s = 0.1 }\n"
    host.configure(f"[app.theirs]\n{table}")
    host.ok("start", "gapless.toml")
    refused = "[Errno 13] Permission denied SOCK_STREAM"
    until(lambda: refused in host.ok("logs", "theirs"), "the refusal of the kernel")
    until(lambda: "denied SOCK_DGRAM" in host.ok("logs", "theirs"), "and of UDP")
    host.ok("delete", "theirs")
    host.configure(f'[app.allowed]\n{table}listen = ["127.0.0.1:{LOW}"]\n')
    host.ok("start", "gapless.toml")
    until(lambda: "bound SOCK_STREAM" in host.ok("logs", "allowed"), "its port")
    host.ok("delete", "allowed")


def test_a_capability_counts_only_in_our_own_user_namespace() -> None:
    """In one of its own every program has all of them, and may bind nothing here."""
    assert privileges.may_bind(os.getpid(), LOW)
    for command, expected in {
        (*AS_NOBODY,): False,
        ("unshare", "--user", "--map-root-user"): False,
        (*AS_NOBODY, "--bounding-set=-all"): False,
        ("setpriv", "--bounding-set=+net_bind_service"): True,
    }.items():
        with subprocess.Popen(
            [*command, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"x")
            process.stdin.flush()
            assert process.stdout.read(1) == b"x"  # it is what it was to become
            assert privileges.may_bind(process.pid, LOW) is expected, command
            assert privileges.may_bind(process.pid, privileges.lowest_free_port())
            process.stdin.close()
    assert not privileges.may_bind(1 << 30, LOW)  # it is gone


def test_an_older_keeper_is_not_believed_to_allow_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says nothing of rights: the supervisor looks itself."""
    message = {"port": LOW, "pid": 4711}
    monkeypatch.setattr(privileges, "may_bind", lambda *_: False)
    assert not may_bind(message, ())
    assert not may_bind({**message, "may_bind": False}, (f"0.0.0.0:{LOW}1",))
    assert may_bind(message, (f"[::]:{LOW}",))
    assert may_bind({**message, "may_bind": True}, ())
