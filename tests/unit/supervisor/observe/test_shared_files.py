"""What real processes hold open is seen, and who opened it by himself."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.supervisor.decide.files import shared_state
from gapless.supervisor.decide.files.shared_state import HeldFile
from gapless.supervisor.kernel import open_files, processes
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.observe.shared_files import cpu_ticks, held_files, is_allowed
from rig.wait import until

PROLOGUE = """
import fcntl, os, signal, sqlite3, sys
def opened(path, flags=os.O_RDWR | os.O_CREAT):
    return os.open(path, flags, 0o600)
"""
Start = Callable[..., int]


class EachItsOwn:
    """A membership in which an instance is its leader and the leader's children."""

    def members(self, instance: InstanceRecord, **_: Any) -> dict[int, Any]:
        """Return the processes."""
        table = processes.snapshot()
        return {pid: table.rows[pid] for pid in table.tree({instance.pid}, session=0)}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a program and waits until it says what it has."""
    started: list[subprocess.Popen[str]] = []

    def begin(code: str, *, says: bool = True) -> int:
        ending = "print(flush=True)\n" if says else ""
        process = subprocess.Popen(
            [sys.executable, "-c", f"{PROLOGUE}{code}\n{ending}signal.pause()"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        if says:
            assert process.stdout.readline() == "\n"
        return process.pid

    yield begin
    for each in started:
        for pid in processes.snapshot().tree({each.pid}, session=0):
            os.kill(pid, signal.SIGKILL)
        each.communicate()


def app_of(
    directory: Path, old: list[int], new: list[int], *shared: str
) -> tuple[AppRecord, GenerationRecord]:
    """Return an app with two generations of these leaders."""
    wanted = spec.AppSpec(
        name="app",
        command=("app",),
        directory=str(directory),
        shared_files=shared,
        log=spec.Log(output=str(directory / "own.output")),
    )
    app = AppRecord("app", wanted)
    for number, pids in ((1, old), (2, new)):
        generation = GenerationRecord(number, wanted, 0.0, served=number == 1)
        generation.instances = [
            InstanceRecord(f"app/{number}/{n}/1", n, 0.0, pid=pid)
            for n, pid in enumerate(pids)
        ]
        app.generations.append(generation)
    return app, app.generations[1]


def look(directory: Path, old: list[int], new: list[int], *shared: str) -> Any:
    """Return what is held, and the conflict among it."""
    app, trial = app_of(directory, old, new, *shared)
    membership: Any = EachItsOwn()
    held = held_files(membership, app, trial)
    assert {type(each) for each in held} <= {HeldFile}
    return held, shared_state.conflict(held)


def test_a_file_that_both_write(tmp_path: Path, start: Start) -> None:
    """It is named by its path, also if one has it by another name."""
    old, new = start('opened("state")'), start('opened("state")')
    _, (reason, path) = look(tmp_path, [old], [new])
    assert path == str(tmp_path / "state")
    assert "open for writing" in reason
    assert look(tmp_path, [old], [new], "state")[1] == ("", "")
    assert look(tmp_path, [old], [new], "./st*e")[1] == ("", "")
    assert look(tmp_path, [old], [new], str(tmp_path))[1] == ("", "")
    assert look(tmp_path, [old], [new], "other/*")[1] != ("", "")


def test_what_no_disk_has_is_no_file(tmp_path: Path, start: Start) -> None:
    """Removed files, devices, memory, sockets and pipes; readers beside a writer."""
    code = """
opened("gone"); os.unlink("gone"); os.memfd_create("m"); opened("/dev/null"); os.pipe()
opened("read", os.O_RDONLY | os.O_CREAT)
"""
    old, new = start(code), start(code)
    held, found = look(tmp_path, [old], [new])
    assert (held, found) == ([], ("", ""))


def test_a_file_that_is_mapped_and_closed(tmp_path: Path, start: Start) -> None:
    """What is written to memory is written to the file."""
    code = """
import mmap
f = opened("state"); os.truncate("state", 4096); m = mmap.mmap(f, 4096)
for each in os.listdir("/proc/self/fd"):
    if int(each) > 2 and os.path.exists(f"/proc/self/fd/{each}"): os.close(int(each))
"""
    old, new = start(code), start(code)
    assert look(tmp_path, [old], [new])[1][1] == str(tmp_path / "state")
    assert look(tmp_path, [old, new], [start(code)])[1] == ("", "")


def test_a_file_for_each_process_is_no_state(tmp_path: Path, start: Start) -> None:
    """No other process will open it, so nothing has to be waited for."""
    code = 'opened(f"cache-{os.getpid()}.bin")'
    held, found = look(tmp_path, [start(code)], [start(code)])
    assert held
    assert not any(map(shared_state.is_state, held))
    assert found == ("", "")


def test_logs_by_their_flags(tmp_path: Path, start: Start) -> None:
    """A text that is named so is a log, however it was opened; data is not."""
    appends = 'opened("app.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)'
    old, new, other = start(appends), start(appends), start('opened("app.log")')
    held, found = look(tmp_path, [old], [new])
    assert not any(map(shared_state.is_state, held))
    assert found == ("", "")
    assert look(tmp_path, [old], [other])[1] == ("", "")
    (tmp_path / "app.log").write_bytes(bytes(4096))  # what is so named is no text
    assert look(tmp_path, [old], [other])[1][1] == str(tmp_path / "app.log")


@pytest.mark.parametrize(
    "lock",
    [
        "fcntl.flock(f, fcntl.LOCK_EX)",
        "fcntl.lockf(f, fcntl.LOCK_EX)",
        # F_OFD_SETLKW
        "fcntl.fcntl(f, 38, __import__('struct').pack('hhqqixxxx', 1, 0, 0, 0, 0))",
    ],
)
def test_a_lock_that_one_holds_and_the_other_waits_for(
    tmp_path: Path, start: Start, lock: str
) -> None:
    """Every kind of lock that Linux has."""
    code = f'f = opened("held", os.O_RDWR | os.O_CREAT)\n{lock}'
    old = start(code)
    new = start(code, says=False)

    def named() -> bool:
        return "waits for it" in look(tmp_path, [old], [new])[1][0]

    until(named, "the lock is waited for")


def test_a_directory_that_one_has_locked(tmp_path: Path, start: Start) -> None:
    """As badger locks its own; the other one tried, and failed."""
    opens = 'f = opened(".", os.O_RDONLY)\n'
    old = start(f"{opens}fcntl.flock(f, fcntl.LOCK_EX)")
    new = start(opens)
    _, (reason, path) = look(tmp_path, [old], [new])
    assert "holds a lock" in reason
    assert path == str(tmp_path)


def test_instances_that_share_a_file_share_it_by_design(
    tmp_path: Path, start: Start
) -> None:
    """So do processes of one instance that opened it each by itself."""
    opens = 'opened("state")'
    each = [start(opens) for _ in range(3)]
    assert look(tmp_path, each[:2], each[2:])[1] == ("", "")
    peers = start(
        f"os.fork()\n{opens}\nif os.getppid() != {os.getpid()}: signal.pause()"
    )
    until(lambda: _holders(peers) == 2, "both have it open")
    assert look(tmp_path, [peers], each[2:])[1] == ("", "")


def test_what_a_child_inherited_says_nothing(tmp_path: Path, start: Start) -> None:
    """As the child by which redis writes its file anew."""
    forks = 'opened("state")\nif not os.fork(): signal.pause()'
    old, new = start(forks), start('opened("state")')
    until(lambda: _holders(old) == 2, "both have it open")
    assert look(tmp_path, [old], [new])[1][1] == str(tmp_path / "state")


def _holders(leader: int) -> int:
    table = processes.snapshot()
    return sum(
        any(each.path.endswith("/state") for each in open_files.open_files(pid))
        for pid in table.tree({leader}, session=0)
    )


def test_databases_of_sqlite(tmp_path: Path, start: Start) -> None:
    """They are made for several processes, whatever their name."""
    code = """
c = sqlite3.connect("anything", isolation_level=None)
c.execute("PRAGMA journal_mode=WAL"); c.execute("CREATE TABLE IF NOT EXISTS t (a)")
c.execute("INSERT INTO t VALUES (1)"); c.execute("BEGIN"); c.execute("SELECT * FROM t")
"""
    old, new = start(code), start(code)
    held, found = look(tmp_path, [old], [new])
    names = {each.path.rpartition("/")[2] for each in held if each.new}
    assert names == {"anything", "anything-wal", "anything-shm"}
    assert found == ("", "")
    with sqlite3.connect(tmp_path / "anything") as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (2,)


def test_who_computes_has_not_started(tmp_path: Path, start: Start) -> None:
    """One that waits has computed so much, and no more."""
    membership: Any = EachItsOwn()
    waits, computes = start(""), start("print(flush=True)\nwhile True: pass")
    _, of_waiting = app_of(tmp_path, [], [waits])
    _, of_computing = app_of(tmp_path, [], [computes])
    until(lambda: cpu_ticks(membership, of_waiting.instances) is not None, "it waits")
    assert cpu_ticks(membership, of_waiting.instances) == cpu_ticks(
        membership, of_waiting.instances
    )
    until(lambda: cpu_ticks(membership, of_computing.instances) is None, "it computes")


def test_an_own_log_is_allowed(tmp_path: Path) -> None:
    """It may have any name."""
    app, _ = app_of(tmp_path, [], [])
    assert is_allowed(app.spec, f"{tmp_path}/own.output")
    assert not is_allowed(app.spec, f"{tmp_path}/own")


def test_links_in_a_pattern_are_followed(tmp_path: Path) -> None:
    """The kernel shows where a file is, the configuration how it is reached."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    app, _ = app_of(tmp_path, [], [], "link/*.bin")
    assert is_allowed(app.spec, f"{tmp_path}/real/x.bin")
    assert not is_allowed(app.spec, f"{tmp_path}/real/x.txt")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"1:",
        b"1: -> POSIX",
        b"1: LEASE  ACTIVE    READ  1 08:01:5 0 EOF",
        b"1: FLOCK  ADVISORY  WRITE x 08:01:5 0 EOF",
        b"1: FLOCK  ADVISORY  WRITE 7 <none>:0 0 EOF",
        b"\xff\xfe 1 2 3 4 5 6",
    ],
)
def test_lines_that_are_no_lock(line: bytes) -> None:
    """What cannot be read is left out."""
    assert open_files.parse_lock(line) is None


def test_a_line_of_a_lock() -> None:
    """As proc(5) has it."""
    line = b"3:  -> OFDLCK ADVISORY  WRITE -1 fe:00:2621442 0 EOF\n"
    found = open_files.parse_lock(line)
    assert found == open_files.Lock("fe:00:2621442", -1, exclusive=True, waits=True)
    assert open_files.inode_of(found.place) == 2621442
    assert open_files.inode_of("fe:00:x") == -1


def test_processes_that_are_gone_have_nothing_open() -> None:
    """Nor has one that may not be seen."""
    assert list(open_files.open_files(2**22 + 1)) == []
