"""The keeper's line: what `renew`, `take` and `follow` make of what no supervisor sends.

Whoever may connect may start programs, so nobody is kept from harm that he could do
anyway; but no message may leave something behind, keep the keeper busy, or end it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from rig.hosts import usage
from rig.hosts.host import NOBODY
from rig.hosts.keeper_line import KeeperLine, spawn
from rig.matrix import matrix
from rig.wait import until

SLEEP = ["sleep", "1000"]
SPEAKS = """
import socket, struct, sys
sock = socket.socket(fileno=int(sys.argv[-1]))
sock.recv(1)
"""
LIES = (
    SPEAKS
    + """
head = struct.pack("=8sqIB", b"answer", 1, 0, 0)
socket.send_fds(sock, [head + b"x" * 50_000], [0] * 8)
"""
)
MUMBLES = SPEAKS + "sock.send(b'nonsense')"
IS_ANOTHER_KIND = SPEAKS + 'sock.send(struct.pack("=8sqIB", b"have", 0, 0, 0))'


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeeperLine]:
    """Return a keeper that all wrong messages are sent to."""
    line = KeeperLine(tmp_path_factory.mktemp("patient") / "home")
    try:
        yield line
    finally:
        line.close()
    assert line.errors() == ""


@contextmanager
def unchanged(keeper: KeeperLine) -> Iterator[None]:
    """Assert that the keeper has what it had, and that it is at rest."""
    keeper.until_answered()
    before, pid = keeper.descriptors(), keeper.pid
    yield
    until(lambda: keeper.descriptors() == before, "nothing stays")
    keeper.connect_again()
    assert keeper.pid == pid
    assert keeper.announced == []
    slept = usage.wakeups(pid)
    keeper.until_answered()
    assert usage.wakeups(pid) < slept + 10, "it is busy"


MANY = "a hundred thousand words"

# --- renew ----------------------------------------------------------------------------

WRONG_ARGV: dict[str, tuple[Any, str]] = {
    "a text": ("python3", "renew.argv"),
    "a number": ([sys.executable, 5], "renew.argv[1]"),
    "an object": ({"0": "true"}, "renew.argv"),
    "NUL": ([sys.executable, "a\0b"], "renew.argv[]"),
    "half a character": (["\ud800"], "renew.argv[]"),
    "an empty word": ([""], "could not try"),
    "no program": (["/nowhere"], "could not try /nowhere"),
    "a directory": (["/"], "could not try /"),
    "a file that is none": (["/etc/passwd"], "could not try /etc/passwd"),
    "ten megabytes": ([sys.executable, "x" * (10 << 20)], "could not try"),
    MANY: ([sys.executable, *["x" * 40] * 100_000], "could not"),
    "it ends": (["/bin/false"], "its trial failed: it ended"),
    "it ends well": (["/bin/true"], "its trial failed: it ended"),
    "it mumbles": ([sys.executable, "-c", MUMBLES], "its trial failed: it ended"),
    "it lies": ([sys.executable, "-c", LIES], "its trial failed: xxx"),
    "it gives": ([sys.executable, "-c", IS_ANOTHER_KIND], "its trial failed: it ended"),
}


@pytest.mark.parametrize(
    "name",
    matrix(WRONG_ARGV, *(set(WRONG_ARGV) - {"ten megabytes", MANY, "it mumbles"})),
)
def test_no_version_that_is_none_is_become(patient: KeeperLine, name: str) -> None:
    """It is named why, once; no process, pipe or memory of the trial stays."""
    argv, named = WRONG_ARGV[name]
    with unchanged(patient), socket.socket() as sock:
        patient.send({"op": "renew", "argv": argv}, *[sock.fileno()] * 3)
        answer = patient.receive()
        assert answer["event"] in ("misunderstood", "not_renewed")
        assert named in answer["reason"], answer
        assert len(answer["reason"]) <= 2100
    until(lambda: not usage.children(patient.pid), "the end of the trial")


def test_one_version_is_tried_at_a_time(patient: KeeperLine) -> None:
    """However often it is asked for meanwhile."""
    with unchanged(patient):
        for _ in range(50):
            patient.send({"op": "renew", "argv": ["/bin/false"]})
        found = [answer["event"] for answer in patient.until_answered()]
        assert len(found) <= 50
        patient.send({"op": "renew", "argv": ["/bin/false"]})
        while patient.receive()["event"] != "not_renewed":
            pass
        patient.until_answered()
        until(lambda: not usage.children(patient.pid), "the end of every trial")
        patient.until_answered()


@pytest.mark.soak
def test_a_version_that_says_nothing_is_given_up(patient: KeeperLine) -> None:
    """Its process is ended; the keeper serves meanwhile."""
    with unchanged(patient):
        patient.send({"op": "renew", "argv": ["/bin/sh", "-c", "exec sleep 1000"]})
        assert patient.until_answered() == []
        reason = patient.receive()["reason"]
        assert "has not answered" in reason
    until(lambda: not usage.children(patient.pid), "its end")


# --- take and follow --------------------------------------------------------------------


def take(stranger: int, **fields: Any) -> dict[str, Any]:
    """Return a message that asks the keeper to take a process; *fields* stand above."""
    message = {"op": "take", "key": "app/1/0/1", "pid": stranger, "started": 1.0}
    return {**message, "streams": [], "log": spawn()["log"]} | fields


@pytest.fixture
def stranger() -> Iterator[int]:
    """Return the pid of a process that is not the keeper's."""
    process = subprocess.Popen(SLEEP)
    yield process.pid
    process.kill()
    process.wait()


def _pipe(stack: ExitStack) -> int:
    ends = os.pipe()
    for each in ends:
        stack.callback(os.close, each)
    return ends[0]


def _file(stack: ExitStack) -> int:
    descriptor = os.open("/etc/passwd", os.O_RDONLY)
    stack.callback(os.close, descriptor)
    return descriptor


def _socket(stack: ExitStack) -> int:
    return stack.enter_context(socket.socket()).fileno()


def _pidfd(stack: ExitStack) -> int:
    descriptor = os.pidfd_open(os.getpid())
    stack.callback(os.close, descriptor)
    return descriptor


Open = Callable[[ExitStack], int]
WRONG_TAKE: dict[str, tuple[dict[str, Any], tuple[Open | None, ...], str]] = {
    # name: the fields, the descriptors (None: the right pidfd), and what the answer names
    "no descriptor": ({}, (), "take.streams names 0"),
    "one too many": ({}, (None, _pipe), "take.streams names 0"),
    "one too few": ({"streams": ["output"]}, (None,), "take.streams names 1"),
    "250 of them": ({"streams": ["output"] * 249}, (None, *[_pipe] * 249), "streams"),
    "a file as pidfd": ({}, (_file,), "no pidfd of it"),
    "a socket as pidfd": ({}, (_socket,), "no pidfd of it"),
    "a pipe as pidfd": ({}, (_pipe,), "no pidfd of it"),
    "another's pidfd": ({}, (_pidfd,), "no pidfd of it"),
    "pid 0": ({"pid": 0}, (None,), "take.pid is 0"),
    "pid -1": ({"pid": -1}, (None,), "take.pid is -1"),
    "init": ({"pid": 1}, (None,), "take.pid is 1"),
    "a huge pid": ({"pid": 1 << 70}, (None,), "take.pid"),
    "a pid in words": ({"pid": "many"}, (None,), "take.pid"),
    "no key": ({"key": None}, (None,), "take.key"),
    "a log that is none": ({"log": []}, (None,), "take.log"),
    "a time that is none": ({"started": float("nan")}, (None,), "take.started"),
    "pipes in words": ({"pipes": ["x"]}, (None,), "take.pipes"),
    "a stream of no name": ({"streams": ["input"]}, (None, _pipe), "take.streams"),
    "a stream twice": (
        {"streams": ["output", "output"]},
        (None, _pipe, _pipe),
        "take.streams",
    ),
    "a file as a pipe": ({"streams": ["output"]}, (None, _file), "no pipe"),
    "a socket as a pipe": ({"streams": ["error"]}, (None, _socket), "no pipe"),
}


@pytest.mark.parametrize("name", WRONG_TAKE)
def test_what_is_no_process_is_not_taken(
    patient: KeeperLine, stranger: int, name: str
) -> None:
    """What is wrong is named, nothing is kept, and the process lives on."""
    fields, kinds, named = WRONG_TAKE[name]
    with unchanged(patient), ExitStack() as stack:
        right = os.pidfd_open(stranger)
        stack.callback(os.close, right)
        came = [right if kind is None else kind(stack) for kind in kinds]
        patient.send(take(stranger, **fields), *came)
        (answer,) = patient.until_answered()
        assert answer["event"] == "misunderstood"
        assert named in answer["reason"], answer
        assert len(answer["reason"]) <= 2100
    assert usage.is_alive(stranger)


def test_a_log_that_cannot_be_is_no_reason_to_keep_half_of_it(
    patient: KeeperLine, stranger: int
) -> None:
    """A process whose log has no directory is taken, and what it holds goes with it."""
    with unchanged(patient), ExitStack() as stack:
        pidfd = os.pidfd_open(stranger)
        stack.callback(os.close, pidfd)
        log = spawn(log={"output": "/proc/none/log", "error": "/proc/none/log"})["log"]
        pipes = [_pipe(stack), _pipe(stack)]
        message = take(
            stranger, log=log, streams=["output", "error"], pipes=[*range(9999)]
        )
        patient.send(message, pidfd, *pipes)
        patient.send(message, pidfd, *pipes)  # a second time
        os.kill(stranger, signal.SIGKILL)
        while patient.receive()["event"] != "ended":
            pass
        patient.send({"op": "forget", "key": message["key"]})
        patient.until_answered()


def test_nothing_but_a_process_takes_the_place_of_a_child(
    patient: KeeperLine, stranger: int
) -> None:
    """A child that has ended is followed by a process whose pidfd came."""
    with unchanged(patient), ExitStack() as stack:
        patient.send(spawn())
        while patient.receive()["event"] != "ended":
            pass
        for kind in (_file, _socket, _pipe, _pidfd):
            message = {"op": "follow", "key": "app/1/0/1", "pid": stranger}
            patient.send(message, kind(stack))
            (answer,) = patient.until_answered()
            assert "follow.pid" in answer["reason"]
        patient.send({"op": "forget", "key": "app/1/0/1"})


# --- who may connect ----------------------------------------------------------------------

CLOSED = {"closed", "BrokenPipeError", "ConnectionResetError"}
CONNECTS = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
try:
    sock.connect(f"/proc/self/fd/{sys.argv[1]}/keeper.sock")
    sock.send(b'{"op": "renew", "argv": ["/bin/false"]}')
    print("answered" if sock.recv(100) else "closed")
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_is_no_supervisor(patient: KeeperLine) -> None:
    """Not even where the directory and the socket were opened for it."""
    home, name = patient.home, patient.home / "keeper.sock"
    with unchanged(patient), ExitStack() as stack:
        directory = os.open(home, os.O_PATH | os.O_DIRECTORY)
        stack.callback(os.close, directory)
        stack.callback(home.chmod, home.stat().st_mode)
        stack.callback(name.chmod, name.stat().st_mode)
        home.chmod(0o755)
        for mode, ends in ((0o600, {"PermissionError"}), (0o666, CLOSED)):
            name.chmod(mode)
            found = subprocess.run(
                [sys.executable, "-c", CONNECTS, str(directory), str(NOBODY)],
                pass_fds=[directory],
                check=True,
                capture_output=True,
                text=True,
            )
            assert found.stdout.strip() in ends
        assert patient.until_answered() == [], "the supervisor has its line still"
