"""A keeper that follows another begins while its guardian dies, or has died."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from gapless.base import wire
from gapless.keeper import run
from gapless.keeper.guardian import frames, place, process, program
from gapless.keeper.guardian.frames import Frame
from gapless.keeper.guardian.guardian import BEGUN, SCRATCH
from gapless.keeper.guardian.scratch import LAYOUT
from rig.wait import until

INCARNATION = "the one before"
WORD_BYTES, GUARDIAN_AT = 8, 8


def guarded(home: Path, note: Callable[[int], None], room: int = 100) -> None:
    """Start a keeper by a guardian that gives it all, and dies before it reads that."""
    begun = json.dumps({"incarnation": INCARNATION, "layout": LAYOUT}).encode()

    def guards() -> None:
        scratch = os.memfd_create("scratch")
        os.truncate(scratch, 4096)
        note(scratch)
        line, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        errors = os.open(home / "keeper.err", os.O_WRONLY | os.O_CREAT)
        words = [*program.installed(), program.NEXT, str(home), "{line}"]
        keeper = program.start(words, far, errors)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.prlimit(keeper, resource.RLIMIT_NOFILE, (room, hard))
        far.close()
        frames.receive(line)
        os.kill(keeper, signal.SIGSTOP)
        many = [scratch] * frames.MOST_DESCRIPTORS
        for each in (
            Frame(kind="have", name="held/x", value=b"{}", descriptors=many),
            Frame(kind="have", name=SCRATCH, descriptors=[scratch]),
            Frame(kind="have", name=BEGUN, value=begun),
            Frame(kind="all"),
        ):
            frames.send(line, each)

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            guards()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0) == (pid, 0)
    (keeper,) = keepers_of(home)
    os.kill(keeper, signal.SIGCONT)


def keepers_of(home: Path) -> list[int]:
    """Return which processes begin to be a keeper of a home."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(home).encode() in command:
            found.append(int(pid))
    return found


def incarnation_at(home: Path) -> str:
    """Return the incarnation of the keeper of a home, once it listens; then end it."""
    until(lambda: listens(home), "a keeper that listens")
    sock = run.connect(str(home))
    assert sock is not None
    with sock:
        channel = wire.Channel(sock)
        sock.settimeout(10)
        while (found := channel.receive()[0])["event"] != "welcome":
            pass
        channel.send({"op": "end"})
        until(lambda: not os.path.exists(home / "keeper.sock"), "its end")
    return str(found["incarnation"])


def listens(home: Path) -> bool:
    """Return whether a keeper listens."""
    sock = run.connect(str(home))
    if sock is not None:
        sock.close()
    return sock is not None


def test_a_guardian_that_dies_when_it_gave_everything_is_no_other_one(
    tmp_path: Path,
) -> None:
    """The keeper has another parent then, goes on, and starts a guardian."""
    guarded(tmp_path, lambda fd: place.note(fd, os.getpid()))
    assert incarnation_at(tmp_path) == INCARNATION


def test_a_guardian_before_that_has_died_has_nothing(tmp_path: Path) -> None:
    """The keeper before had no time to note that another one has everything."""
    was, began = os.fork(), process.began_at(os.getpid())
    if was == 0:
        os._exit(0)
    os.waitpid(was, 0)

    def note(scratch: int) -> None:
        for at, word in enumerate((was, began)):
            encoded = word.to_bytes(WORD_BYTES, sys.byteorder)
            os.pwrite(scratch, encoded, GUARDIAN_AT + at * WORD_BYTES)

    guarded(tmp_path, note)
    assert incarnation_at(tmp_path) == INCARNATION


def test_a_keeper_ends_if_another_guardian_that_lives_has_everything(
    tmp_path: Path,
) -> None:
    """Its own was stopped, and goes on."""
    living = os.getpid()
    guarded(tmp_path, lambda fd: place.note(fd, living))
    until(lambda: not keepers_of(tmp_path), "the end of the keeper")
    assert not os.path.exists(tmp_path / "keeper.sock")


def test_a_keeper_that_has_no_room_ends_with_a_word(tmp_path: Path) -> None:
    """Its guardian has everything, and starts another."""
    guarded(tmp_path, lambda fd: place.note(fd, os.getpid()), 8)
    until(lambda: not keepers_of(tmp_path), "the end of the keeper")
    said = (tmp_path / "keeper.err").read_text()
    assert said.startswith("gapless keeper: it could not go on with what there is: ")
    assert said.count("\n") == 1
