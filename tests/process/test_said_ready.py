"""A program says once that it is ready: whoever dies before it is noted, it is heard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from rig.hosts.host import Host
from rig.wait import until

SAYS_ONCE = """
import os, pathlib, socket, sys
line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1)
os.mkfifo("gate")
open("gate").close()
if sys.argv[1] == "datagram":
    line.sendto(b"STATUS=begins", name)
    line.sendto(b"READY=1", name)
else:
    socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"])).sendall(b'"ready"\\n')
if "wait" in sys.argv:
    read_end, write_end = os.pipe()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, write_end.to_bytes(4, sys.byteorder))]
    line.sendmsg([b"BARRIER=1"], rights, 0, name)
    os.close(write_end)
    os.read(read_end, 1)
pathlib.Path("said").touch()
os.open("never", os.O_RDONLY)
"""
"""It goes on when somebody opens the gate; with `wait`, somebody has read its word then."""
DIES = """
import os, signal, sys
from gapless.supervisor import run
from gapless.supervisor.instances import messages, notify_sockets
notified = messages.Messages.notified
def dies(self, key, said):
    if isinstance(said, list) or said.ready:
        os.kill(os.getpid(), signal.SIGKILL)
    notified(self, key, said)
if sys.argv[2] == "heard":
    notify_sockets.NotifySockets.heard = dies
else:
    messages.Messages.notified = dies
run.main(sys.argv[1:2])
"""
"""A supervisor that dies when it has read such a word, and has not taken it in."""
TIMEOUT_S = 60


def begin(host: Host, *arguments: str) -> int:
    """Begin to start a program that does not say anything yet; return its process."""
    os.mkfifo(host.directory / "never")
    host.declare(
        "app",
        [sys.executable, "-c", SAYS_ONCE, *arguments],
        port=1,
        release="1",
        directory=host.directory,
        more=f'ready = {{ when = "notify", timeout_s = {TIMEOUT_S} }}',
    )
    start = host.begin("start", "app.toml")
    until((host.directory / "gate").exists, "the program to wait")
    (pid,) = host.row("app")["pids"]
    start.kill()
    start.communicate()
    return int(pid)


def say(host: Host) -> None:
    """Let the program say that it is ready."""
    with open(host.directory / "gate", "w"):
        pass
    until((host.directory / "said").exists, "its word is said")


def is_heard(host: Host, pid: int) -> None:
    """Wait for the release to succeed, long before its time is over."""
    until(lambda: host.row("app")["instances"]["ready"] == 1, "its word is heard", 20)
    assert host.app("app")["pids"] == [pid]


def supervisor_that_dies(host: Host, where: str) -> subprocess.Popen[bytes]:
    """Start a supervisor that dies when it reads the word of the program."""
    code = [sys.executable, "-c", DIES, str(host.home), where]
    return subprocess.Popen(code, env=host.environment, cwd="/")


def test_the_keeper_that_has_read_it_dies(host: Host) -> None:
    """No supervisor was there; the next keeper knows it."""
    pid = begin(host, "datagram", "wait")
    keeper = host.keeper_pid()
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    until(lambda: len(host.processes()) == 3, "the end of the supervisor")
    say(host)
    os.kill(keeper, signal.SIGKILL)
    until(lambda: keeper not in host.processes(), "the end of the keeper")
    is_heard(host, pid)


def test_the_supervisor_that_was_told_dies(host: Host) -> None:
    """The keeper had read it, and tells the next one too."""
    pid = begin(host, "datagram", "wait")
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    until(lambda: len(host.processes()) == 3, "the end of the supervisor")
    say(host)
    supervisor = supervisor_that_dies(host, "heard")
    assert supervisor.wait(30) == -signal.SIGKILL
    is_heard(host, pid)


@pytest.mark.parametrize("way", ["datagram", "channel"])
def test_the_supervisor_that_has_read_it_dies(host: Host, way: str) -> None:
    """Right after it was read: it has no note of it yet."""
    pid = begin(host, way)
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    until(lambda: len(host.processes()) == 3, "the end of the supervisor")
    supervisor = supervisor_that_dies(host, "read")
    number = host.home / "supervisor.pid"
    until(lambda: number.read_text() == f"{supervisor.pid}\n", "it supervises")
    say(host)
    assert supervisor.wait(30) == -signal.SIGKILL
    is_heard(host, pid)
