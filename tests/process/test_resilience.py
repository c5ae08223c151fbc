"""Gapless's own processes are killed, stopped and sent malformed messages."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from gapless.keeper.seccomp import caller
from rig.hosts.host import (
    NOBODY,
    ORDINARY_USER,
    SERVERS,
    Host,
)
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix, times
from rig.wait import answers, free_port, until

GOOD = ["node", "app.js"]
STEPS = ["2 starts", "listens on", "takes all new", "is proven", "1 drains", "1 stops"]


@pytest.mark.parametrize("step", matrix(STEPS, "takes all new", "1 drains"))
def test_a_supervisor_that_is_killed_in_a_handoff_goes_on(
    host: Host, step: str
) -> None:
    """The waiting command starts the next supervisor, which completes the handoff."""
    port = free_port()
    host.start("app", GOOD, port=port, more="instances = 2")
    with run_load(port, engine.NEW, engine.POST) as under_load:
        under_load.wait_for_version("1")
        host.declare("app", GOOD, port=port, release="2", more="instances = 2")
        pid = host.supervisor_pid()
        reload = host.begin("reload", "app")
        assert reload.stdout is not None
        for line in reload.stdout:
            if f" {step}" in line:
                os.kill(pid, signal.SIGKILL)
                break
        rest = reload.communicate(timeout=60)[0]
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert reload.returncode == 0, rest
    assert report.lost == 0, str(report)
    described = host.app("app")
    assert (described["generation"], described["instances"]["ready"]) == (2, 2)
    assert [g["role"] for g in described["generations"]] == ["serving"]
    assert host.supervisor_pid() != pid


def test_the_app_serves_while_no_supervisor_lives(host: Host) -> None:
    """The next command starts a supervisor, which adopts the app and can release."""
    port = free_port()
    host.start("app", GOOD, port=port)
    before = host.app("app")["pids"]
    with run_load(port, engine.NEW, engine.POST) as under_load:
        os.kill(host.supervisor_pid(), signal.SIGKILL)
        under_load.wait_for(200)
        described = host.app("app")
        assert (described["pids"], described["status"]) == (before, "online")
        host.declare("app", GOOD, port=port, release="2")
        host.ok("reload", "app")
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)


@pytest.mark.soak
def test_a_supervisor_that_is_stopped_blocks_no_program(host: Host) -> None:
    """While the supervisor has SIGSTOP the app serves and logs; a reload works later."""
    port = free_port()
    chatty = (
        "require('http').createServer((q, r) => { console.log('x'.repeat(20000));"
        " r.end('release ' + process.env.RELEASE + ' '); })"
        ".listen(process.env.PORT, '127.0.0.1')"
    )
    host.start("app", ["node", "-e", chatty], port=port)
    supervisor = host.supervisor_pid()
    with run_load(port, engine.NEW) as under_load:
        os.kill(supervisor, signal.SIGSTOP)
        try:
            # The output is far larger than the pipe of the log.
            under_load.wait_for(500)
            host.declare("app", ["node", "-e", chatty], port=port, release="2")
        finally:
            os.kill(supervisor, signal.SIGCONT)
        host.ok("reload", "app")
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)


def test_an_instance_that_ended_while_no_supervisor_lived_is_started_again(
    host: Host,
) -> None:
    """The keeper keeps the exit of the instance for the next supervisor."""
    port = free_port()
    host.start("app", GOOD, port=port)
    (pid,) = host.app("app")["pids"]
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    until(lambda: host.row("app")["pids"] not in ([], [pid]), "a new instance")
    until(lambda: host.status("app") == "online", "online again")


GARBAGE = [
    b"\n",
    b"not json\n",
    b"[1, 2]\n",
    b'{"op": "no such thing"}\n',
    b'{"op": "start", "spec": {"name": 1}}\n',
    b'{"op": "start", "spec": null}\n',
    b'{"op": "scale", "app": "app", "instances": "many"}\n',
    b'{"op": "reload", "app": ["app"]}\n',
    b'{"op": "signal", "app": "app", "signal": 99}\n',
    b"\xff\xfe\x00\n",
    b"[" * 100_000 + b"\n",
]


def test_garbage_on_the_control_socket_is_answered_with_an_error(
    host: Host, subtests: pytest.Subtests
) -> None:
    """The supervisor answers with an error and goes on, and the app is untouched."""
    host.start("app", GOOD, port=free_port())
    pid = host.supervisor_pid()
    for message in GARBAGE:
        with subtests.test(repr(message[:40])), socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(host.home / "supervisor.sock"))
            sock.sendall(message)
            answer = sock.makefile().readline()
            assert json.loads(answer)["error"]["exit_code"] in (2, 3)
            assert host.supervisor_pid() == pid
    assert host.app("app")["generation"] == 1


def test_half_a_request_and_a_vanished_client_harm_nobody(host: Host) -> None:
    """A request goes on after its client has gone."""
    port = free_port()
    host.start("app", GOOD, port=port)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(host.home / "supervisor.sock"))
        sock.sendall(b'{"op": "rel')
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(host.home / "supervisor.sock"))
        sock.sendall(b'{"op": "restart", "app": "app"}\n')
    until(lambda: host.row("app")["generation"] == 2, "the restart")
    until(lambda: host.status("app") == "online", "online")


SLOW = """
import http.server, os, pathlib, socket, time
address = ("127.0.0.1", int(os.environ["PORT"]))
server = http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler)
pathlib.Path(f"bound-{os.getpid()}").touch()
while not pathlib.Path("gate").exists():
    time.sleep(0.02)
line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
line.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1))
server.serve_forever()
"""


def test_what_gets_ready_while_no_supervisor_lives_is_not_late(host: Host) -> None:
    """Its time is over when the next one comes, which hears first what it has said."""
    port, gate = free_port(), host.directory / "gate"
    gate.touch()
    host.declare(
        "app",
        ["python3", "-c", SLOW],
        port=port,
        release="1",
        directory=host.directory,
        more='ready = { when = "notify", timeout_s = 1 }',
    )
    host.ok("start", "app.toml")
    (first,) = host.app("app")["pids"]
    gate.unlink()
    os.kill(first, signal.SIGKILL)

    def bound() -> list[int]:
        pids = [int(each.name[6:]) for each in host.directory.glob("bound-*")]
        return [pid for pid in pids if pid != first]

    (second,) = until(bound, "the next instance")
    late = time.monotonic() + 1.1
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    until(lambda: time.monotonic() > late, "the end of its time")
    gate.touch()
    until(lambda: answers(port), "it serves")
    until(lambda: host.app("app")["instances"]["ready"] == 1, "its word is heard")
    assert host.app("app")["pids"] == [second]


def test_garbage_on_the_notification_socket_is_ignored(host: Host) -> None:
    """Only a proper READY=1 makes an instance ready."""
    script = (
        "import os, socket, time\n"
        "name = os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1)\n"
        "line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "for message in (b'', b'READY=2', b'READY', bytes(range(256)), b'X' * 4000):\n"
        "    line.sendto(message, name)\n"
        "channel = socket.socket(fileno=int(os.environ['NODE_CHANNEL_FD']))\n"
        "channel.sendall(b'[' * 5000 + b'\\n{}\\nnonsense\\n\\xff\\n')\n"
        "time.sleep(1000)\n"
    )
    more = 'ready = { when = "notify", timeout_s = 1 }'
    host.declare("app", ["python3", "-c", script], port=1, release="1", more=more)
    done = host.gapless("start", "app.toml")
    assert done.returncode == 1
    assert "did not say that it is ready" in done.stdout


def test_a_keeper_that_keeps_nothing_ends(host: Host) -> None:
    """The keeper ends if the supervisor has ended and no app is left."""
    host.start("app", GOOD, port=free_port())
    host.ok("delete", "app")
    supervisor, keeper = host.supervisor_pid(), host.keeper_pid()
    os.kill(supervisor, signal.SIGTERM)
    until(lambda: keeper not in host.processes(), "the end of the keeper", 20)


def test_two_first_commands_at_once_meet_one_supervisor(host: Host) -> None:
    """The fastest command starts the supervisor, and all commands are answered."""
    commands = [
        host.begin("start", "sleep", "--name", f"app{n}", "--", 1000) for n in range(6)
    ]
    output = [command.communicate(timeout=60)[0] for command in commands]
    assert [command.returncode for command in commands] == [0] * 6, output
    assert len(host.json("list")["apps"]) == 6


def test_a_shutdown_is_remembered(host: Host) -> None:
    """After a shutdown, `list` starts no app; `start` does."""
    host.start("app", GOOD, port=free_port())
    host.ok("shutdown")
    assert host.status("app") == "stopped"
    host.ok("start", "app")
    assert host.status("app") == "online"


def test_a_stranger_who_keeps_an_old_socket_open_harms_nobody(host: Host) -> None:
    """A retired socket does not listen, so another holder of it gets no connection."""
    port = free_port()
    host.start("app", GOOD, port=port)
    (pid,) = host.app("app")["pids"]
    kept = []
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if "socket:" in os.readlink(f"/proc/{pid}/fd/{name}"):
                    kept.append(caller.duplicate(pid, int(name)))
        with run_load(port, engine.NEW, engine.POST) as under_load:
            for release in ("2", "3"):
                host.declare("app", GOOD, port=port, release=release)
                host.ok("reload", "app")
                under_load.wait_for_version(release)
                under_load.wait_for(100)
            while kept:
                os.close(kept.pop())
            under_load.wait_for(100)
            host.ok("restart", "app")
            under_load.wait_for(100)
            report = under_load.stop()
    finally:
        for descriptor in kept:
            os.close(descriptor)
    assert report.lost == 0, str(report)


def test_an_ordinary_user_hands_over_as_root_does(host: Host) -> None:
    """Interception, steering and evidence need no privileges."""
    port = free_port()
    if os.getuid() == 0:
        os.chown(host.directory, NOBODY, NOBODY)
        host.command_prefix = ORDINARY_USER
    command = [str(SERVERS / "gunicorn"), "-b", f"127.0.0.1:{port}", "-w", "2"]
    command += ["--no-control-socket", "wsgi_app:app"]
    host.start("app", command, port=port)
    status = Path(f"/proc/{host.supervisor_pid()}/status").read_text()
    assert "Uid:\t0\t" not in status
    with run_load(port, engine.NEW, engine.POST) as under_load:
        for release in ("2", "3"):
            host.declare("app", command, port=port, release=release)
            host.ok("reload", "app")
            under_load.wait_for_version(release)
        pid = host.supervisor_pid()
        os.kill(pid, signal.SIGKILL)
        host.ok("restart", "app")
        report = under_load.stop()
    assert report.lost == 0, str(report)


def test_a_keeper_that_is_stopped_blocks_no_request(host: Host) -> None:
    """The apps serve; a reload waits until the keeper runs again."""
    port = free_port()
    host.start("app", GOOD, port=port)
    keeper = host.keeper_pid()
    host.declare("app", GOOD, port=port, release="2")
    with run_load(port, engine.NEW, engine.POST) as under_load:
        os.kill(keeper, signal.SIGSTOP)
        try:
            reload = host.begin("reload", "app")
            under_load.wait_for(300)
            assert set(under_load.versions()) == {"1"}
            assert host.app("app")["instances"]["ready"] == 1
        finally:
            os.kill(keeper, signal.SIGCONT)
        rest = reload.communicate(timeout=60)[0]
        assert reload.returncode == 0, rest
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)


def test_a_keeper_that_is_stopped_is_still_told_to_end(host: Host) -> None:
    """The supervisor waits until its last message fits in the keeper's socket."""
    more = f'command = ["sleep", "600"]\nenvironment = {{ MUCH = "{"x" * 40_000}" }}\n'
    room = int(Path("/proc/sys/net/core/wmem_default").read_text())
    jobs = range(2 * room // 40_000)
    host.configure("".join(f"[app.job{number}]\n{more}" for number in jobs))
    host.ok("start", "gapless.toml")
    host.ok("stop", "all")
    keeper, state = host.keeper_pid(), host.home / "state.json"
    os.kill(keeper, signal.SIGSTOP)
    try:
        host.ok("stop", "all")  # the notes are larger than the socket's buffer
        with host.begin("shutdown") as shutdown:
            try:
                until(lambda: '"shut_down": true' in state.read_text(), "the order")
                assert host.supervisor_pid(), "it waits"
                os.kill(keeper, signal.SIGCONT)
                output = shutdown.communicate(timeout=60)[0]
            finally:
                shutdown.kill()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(keeper, signal.SIGCONT)
    assert (shutdown.returncode, output[:9]) == (0, "shut down")
    until(lambda: not host.processes(), "the keeper to end")
    log = (host.home / "logs" / "gapless.log").read_text()
    assert "keeper-lost" not in log


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_stops_no_release(host: Host) -> None:
    """State that the disk has no room for stays in the keeper, and is written later."""
    port = free_port()
    host.home.mkdir(mode=0o700)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "none", host.home],
        check=True,
    )
    try:
        host.start("app", GOOD, port=port)
        ballast = host.home / "ballast"
        with run_load(port, engine.NEW, engine.POST) as under_load:
            with contextlib.suppress(OSError), ballast.open("wb", 0) as file:
                while True:
                    file.write(bytes(4096))
            host.declare("app", GOOD, port=port, release="2")
            host.ok("reload", "app")
            under_load.wait_for_version("2")
            os.kill(host.supervisor_pid(), signal.SIGKILL)
            assert host.app("app")["generation"] == 2
            ballast.unlink()
            host.ok("restart", "app")
            report = under_load.stop()
        assert report.lost == 0, str(report)
        state = json.loads((host.home / "state.json").read_text())
        assert state["apps"]["app"]["last_generation"] == 3
    finally:
        host.close()
        subprocess.run(["umount", "-l", host.home], check=True)


@pytest.mark.parametrize("count", times(8, 200))
def test_nothing_is_leaked_by_handoffs(host: Host, count: int) -> None:
    """The numbers of file descriptors and processes do not grow."""
    port = free_port()
    host.start("app", GOOD, port=port, more="min_healthy_s = 0.02")
    host.ok("restart", "app")
    pids = host.own_pids()
    before = [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
    with run_load(port, engine.Traffic(kind="new", pause_s=0.01)) as under_load:
        for _ in range(count):
            host.ok("restart", "app")
        assert under_load.stop().lost == 0
    until(
        lambda: all(
            len(os.listdir(f"/proc/{pid}/fd")) <= was
            for pid, was in zip(pids, before, strict=True)
        ),
        f"no more descriptors than before: {before}",
    )
    assert len(host.processes()) == 4
    assert host.own_pids() == pids


LATE = """
import http.server, os, time
while not os.path.exists(os.environ["GATE"]):
    time.sleep(0.02)
http.server.HTTPServer(
    ("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler
).serve_forever()
"""


@pytest.mark.soak
@pytest.mark.xfail(
    strict=True,
    reason="its socket is to be taken from it (pidfd_getfd(2)): a part of adoption",
)
def test_an_app_that_bound_while_no_supervisor_lived_is_handed_over(host: Host) -> None:
    """Its socket is its own, so it is recycled: it ends before its successor serves."""
    port, gate = free_port(), host.directory / "gate"
    command = ["python3", "-c", LATE]
    more = "restart = { min_uptime_s = 0.1 }\n"
    host.declare("app", command, port=port, release="1", more=more)
    host.ok("start", "app.toml", environment={"GATE": str(gate)})
    pid = host.supervisor_pid()
    os.kill(pid, signal.SIGKILL)
    gate.touch()

    def listens() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    until(listens, "the keeper to let it bind", 30)
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for(20)
        host.ok("reload", "app")
        under_load.wait_for(20)
        report = under_load.stop()
    assert report.lost == 0, str(report)
