"""Whose a process is: the kernel's word alone, and nothing that the process can write."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from gapless.base import clock, events
from gapless.supervisor.instances import messages
from gapless.supervisor.instances.drain_connection import DrainConnection
from gapless.supervisor.instances.messages import Messages
from gapless.supervisor.kernel import processes
from gapless.supervisor.kernel.processes import Table
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.observe import membership
from gapless.supervisor.observe.instance_groups import InstanceGroups
from gapless.supervisor.observe.membership import Membership
from rig.hosts.host import NOBODY
from rig.wait import until

KEY = "app/1/0/1"


class EveryProcess:
    """Finds that every process is a member, as if it had the number of one."""

    def belongs(self, _: InstanceRecord, __: int) -> bool:
        """Say so."""
        return True


def of_nobody() -> Messages:
    """Return what takes in the words of an app of the user nobody."""
    spec = AppSpec(name="app", command=("true",), directory="/", user="nobody")
    app = AppRecord(name="app", spec=spec)
    instance = InstanceRecord(key=KEY, ordinal=0, started=0.0)
    app.generations.append(
        GenerationRecord(number=1, spec=spec, seats=[], instances=[instance], since=0.0)
    )
    apps = Apps()
    apps["app"] = app
    member: object = EveryProcess()
    return Messages(apps, member)  # type: ignore[arg-type]  # it is asked for one thing


@pytest.mark.parametrize(
    ("uid", "speaks"), [(NOBODY, True), (0, True), (NOBODY - 1, False), (1, False)]
)
def test_users_of_other_apps_are_strangers(uid: int, *, speaks: bool) -> None:
    """Also where a process seems to be a member, or has ended already."""
    found = of_nobody()
    assert found.speaks(KEY, os.getpid(), uid) is speaks
    assert found.speaks(KEY, 1 << 30, uid) is speaks
    assert not found.speaks("app/1/0/2", os.getpid(), uid)


def test_a_zombie_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper that nobody has reaped yet has said what it had to say."""
    found = of_nobody()
    monkeypatch.setattr(EveryProcess, "belongs", lambda *_: False)
    child = os.fork()
    if child == 0:
        os._exit(0)
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert found.speaks(KEY, child, NOBODY)
        assert not found.speaks(KEY, os.getpid(), NOBODY)
    finally:
        os.waitpid(child, 0)


@pytest.mark.parametrize("has_pidfd", [True, False])
def test_a_number_that_another_process_has_now_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_pidfd: bool
) -> None:
    """Who connects, leaves its connection to a child and ends is nobody."""
    if not has_pidfd:  # before Linux 6.5
        monkeypatch.setattr("gapless.base.kernel.peer.pidfd_of", lambda _: -1)
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as own,
    ):
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        child = os.fork()
        if child == 0:
            own.connect(str(tmp_path / "socket"))
            signal.pause()
        try:
            accepted, _ = listener.accept()
            connection = DrainConnection(accepted, child, 0)
            assert connection.is_same_process()
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        mine = processes.read(os.getpid())
        assert mine is not None
        monkeypatch.setattr(processes, "read", lambda _: mine)  # it has the number now
        assert not connection.is_same_process()
        connection.close()


def test_strangers_who_ask_at_once_cost_one_reading_of_all_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where there are no groups; a member that began just now is found all the same."""
    monkeypatch.setattr(membership, "FRESH_S", 1000.0)
    read: list[Table] = []

    def snapshot() -> Table:
        read.append(Table(processes.read_all([leader, *strangers])))
        return read[-1]

    monkeypatch.setattr(processes, "snapshot", snapshot)
    sleeping = [
        subprocess.Popen(["sleep", "1000"], start_new_session=True) for _ in range(9)
    ]
    try:
        leader, *strangers = [each.pid for each in sleeping]
        now = [processes.read(each) for each in strangers]
        began = max(each.start_ticks for each in now if each) / membership._TICKS_PER_S
        until(lambda: clock.boottime() > began + 0.05, "a later moment")
        found = Membership(InstanceGroups(None, events.Log("/dev/null")))
        instance = InstanceRecord(key=KEY, ordinal=0, started=0.0, pid=strangers.pop())
        assert not any(found.belongs(instance, each) for each in strangers)
        assert len(read) == 1
        strangers.append(instance.pid)
        assert found.belongs(instance, instance.pid)
    finally:
        for each in sleeping:
            each.kill()
            each.wait()


def test_no_part_of_the_supervisor_reads_what_processes_write_of_themselves() -> None:
    """Environment, arguments and title of a process are in its own hands."""
    supervisor = Path(messages.__file__).parent.parent
    for file in [
        *supervisor.rglob("*.py"),
        *(supervisor.parent / "keeper").rglob("*.py"),
    ]:
        text = file.read_text()
        for name in ("environ", "cmdline", "comm"):
            assert f"}}/{name}" not in text, f"{file} reads /proc/PID/{name}"
