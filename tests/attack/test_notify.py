"""NOTIFY_SOCKET under root: whose word it is, and what it may cost."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.base.names import Home
from gapless.base.outside import disposal
from gapless.supervisor.instances import notify_places
from gapless.supervisor.instances.notify_places import NotifyPlaces
from rig.hosts.host import NOBODY, Host, temporary_host
from rig.wait import until

STRANGER = NOBODY - 1
SILENT = "import time; time.sleep(1000)"
SEND = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.sendto(sys.argv[2].encode(), sys.argv[1])
if sys.argv[3] == "stay":
    print("sent", flush=True)
    sys.stdin.read()
"""
LINGER = """
import os, socket, struct, sys, time
listener = socket.create_server(("127.0.0.1", 0))
stuck = socket.create_connection(listener.getsockname())
stuck.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
stuck.setblocking(False)
try:
    while True:
        stuck.send(bytes(1 << 16))
except BlockingIOError:
    pass
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.connect(os.environ["NOTIFY_SOCKET"])
sock.send(b"STATUS=flood")
read_end, write_end = os.pipe()
try:
    for _ in range(3):
        socket.send_fds(sock, [b"FDSTORE=1"], [stuck.fileno()] * 250)
except OSError:
    pass  # nobody reads it any more
stuck.close()
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def root_host() -> Iterator[Host]:
    """Return a host with a supervisor of root, and apps of another user that hang."""
    with temporary_host() as host:
        table = 'user = "nobody"\ndirectory = "/"\nready = "notify"\n'
        for name, script in {"silent": SILENT, "linger": LINGER}.items():
            command = json.dumps(["/usr/bin/python3", "-c", script])
            host.configure(
                f"[app.{name}]\ncommand = {command}\n{table}", f"{name}.toml"
            )
        starts = [host.begin("start", f"{name}.toml") for name in ("silent", "linger")]
        yield host
        for each in starts:
            each.send_signal(signal.SIGINT)
            each.communicate()


def notify_socket(host: Host, app: str) -> str:
    """Return the NOTIFY_SOCKET of the instance of an app."""
    pids = until(lambda: host.app(app).get("pids", []), "its start")
    return until(lambda: _named(pids[0]).get("NOTIFY_SOCKET", ""), "its exec")


def _named(pid: int) -> dict[str, str]:
    """Return the environment of a process; the keeper's until it has become a program."""
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return {name: value for name, _, value in (each.partition("=") for each in entries)}


def send(user: int, path: str, message: str, then: str) -> subprocess.Popen[str]:
    """Send a message to a socket as a user."""
    as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
    return subprocess.Popen(
        [*as_user, "/usr/bin/python3", "-c", SEND, path, message, then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def details(host: Host, app: str) -> tuple[str, str]:
    """Return the phase of the instance of an app, and its status text; once it is there."""
    for found in host.app(app).get("instances_detail", []):
        return found["phase"], found["status_text"]
    return "", ""


def test_no_other_user_reaches_the_socket(root_host: Host) -> None:
    """It has no name in /proc/net/unix that they could use, whatever they know."""
    path = notify_socket(root_host, "silent")
    assert not path.startswith("@")
    done = send(STRANGER, path, "READY=1", "end")
    assert "PermissionError" in done.communicate()[1]
    directory = os.stat(os.path.dirname(path))
    assert (directory.st_uid, directory.st_mode & 0o777) == (NOBODY, 0o700)
    above = os.stat(os.path.dirname(os.path.dirname(path)))
    assert (above.st_uid, above.st_mode & 0o022) == (0, 0)
    assert details(root_host, "silent")[0] == "starting"


def test_a_living_process_of_the_same_user_speaks_for_itself_alone(
    root_host: Host,
) -> None:
    """It is no member of the instance, and that is the kernel's word."""
    path = notify_socket(root_host, "silent")
    sender = send(NOBODY, path, "READY=1\nSTATUS=forged", "stay")
    assert sender.stdout is not None
    assert sender.stdout.readline() == "sent\n"
    for _ in range(3):
        phase, said = details(root_host, "silent")
        assert (phase, said == "forged") == ("starting", False)
    sender.communicate()


def test_descriptors_that_cannot_be_closed_keep_nobody_waiting(root_host: Host) -> None:
    """To close the last copy of a socket takes as long as SO_LINGER says: ten minutes."""
    until(lambda: details(root_host, "linger")[1] == "flood", "its first word")
    for _ in range(3):
        began = time.monotonic()
        root_host.ok("list")
        assert time.monotonic() - began < 10
    pid = root_host.supervisor_pid()
    until(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 500, "no growth")


def test_a_process_that_has_ended_said_the_truth(root_host: Host) -> None:
    """As systemd-notify(1) has when its word is read: only its user could send it."""
    path = notify_socket(root_host, "silent")
    supervisor = root_host.supervisor_pid()
    os.kill(supervisor, signal.SIGSTOP)
    try:
        sender = send(NOBODY, path, "STATUS=true", "end")
        assert sender.communicate()[1] == ""
    finally:
        os.kill(supervisor, signal.SIGCONT)
    until(lambda: details(root_host, "silent")[1] == "true", "its word")


def test_a_barrier_is_passed_at_once(tmp_path: Path) -> None:
    """Descriptors of pipes are closed where they come in (sd_notify_barrier(3))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(tmp_path / "notify"))
            read_end, write_end = os.pipe()
            socket.send_fds(sender, [b"BARRIER=1"], [write_end])
            os.close(write_end)
        before = set(sys.modules)
        _, ancillary, _, _ = receiver.recvmsg(100, disposal.ROOM_BYTES)
        assert disposal.close_all(disposal.descriptors_in(ancillary))
        assert set(sys.modules) == before
    assert os.read(read_end, 1) == b""
    os.close(read_end)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NotifyPlaces:
    """Return places below a directory that is not there yet."""
    tmp_path.chmod(0o755)
    found = NotifyPlaces(Home(str(tmp_path)))
    monkeypatch.setattr(found, "_bases", lambda: [str(tmp_path / "run" / "home")])
    return found


def test_the_umask_of_root_keeps_no_app_from_its_socket(places: NotifyPlaces) -> None:
    """With 077, as hardened machines have it, nobody else could enter /run/gapless."""
    before = os.umask(0o077)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            path = places.bind(receiver, NOBODY)
            above = Path(path).parents[2]
            above.parent.chmod(0o755)
            modes = [
                stat.S_IMODE(each.stat().st_mode) for each in Path(path).parents[:3]
            ]
            places.remove(receiver)
    finally:
        os.umask(before)
    assert modes == [0o700, 0o711, 0o711]


def test_names_without_end_beside_the_socket_are_not_all_listed(
    places: NotifyPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory is its user's, who may fill it while the supervisor waits."""
    monkeypatch.setattr(notify_places, "_MOST_LEFT", 3)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        directory = Path(places.bind(receiver, NOBODY)).parent
        for number in range(9):
            (directory / str(number)).touch()
        monkeypatch.setattr(os, "listdir", lambda _: pytest.fail("all are listed"))
        places.remove(receiver)
        with os.scandir(directory) as left:
            assert len([*left]) == 7
