"""Limits of control groups, on files in the place of the kernel's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gapless.base import events
from gapless.base.kernel import cgroups
from gapless.supervisor.kernel import controllers
from gapless.supervisor.memory.spec import Limits
from gapless.supervisor.observe import instance_limits
from gapless.supervisor.observe.instance_limits import InstanceLimits


class Groups:
    """A group, the one for all instances below it, and that of one instance."""

    def __init__(self, path: Path, offered: str = "cpu memory pids") -> None:
        self.above = path / "gapless.slice"
        self.all = self.above / "gapless-1-2"
        self.one = self.all / "web:1:0:1"
        for directory in (self.above, self.all, self.one):
            directory.mkdir()
            (directory / "cgroup.controllers").write_text(offered)
            for name in ("cgroup.subtree_control", "cgroup.procs", "cgroup.type"):
                (directory / name).write_text("")
        log = events.Log(str(path / "log"))
        self.limits = InstanceLimits(str(self.above), str(self.all), log)

    def why(self, name: str) -> str:
        """Return why a controller cannot limit instances."""
        return self.limits.why_unavailable(name)


def test_limits_are_written(tmp_path: Path) -> None:
    """Into the group of the instance, below two that distribute the controllers."""
    groups = Groups(tmp_path)
    wanted = Limits(memory_bytes=64 << 20)
    trouble = groups.limits.apply(str(groups.one), wanted)
    assert "no such file" in trouble  # the kernel makes it in the step before
    for group in (groups.above, groups.all):
        assert (group / "cgroup.subtree_control").read_text() == "+memory"
    for name in ("memory.max", "cpu.max"):
        (groups.one / name).write_text("")
    wanted = Limits(memory_bytes=64 << 20, cpu_percent=150)
    assert groups.limits.apply(str(groups.one), wanted) == ""
    assert (groups.one / "memory.max").read_text() == "67108864"
    assert (groups.one / "cpu.max").read_text() == "150000 100000"


def test_nothing_is_changed_unless_a_limit_is_asked_for(tmp_path: Path) -> None:
    """Limits of processes need no group."""
    groups = Groups(tmp_path)
    assert groups.limits.apply(str(groups.one), Limits(open_files=100)) == ""
    assert (groups.above / "cgroup.subtree_control").read_text() == ""


def test_why_there_is_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that is not given, and others in the group, are named."""
    groups = Groups(tmp_path, offered="pids")
    assert "(it has: pids)" in groups.why("memory") or "cgroup v1" in groups.why(
        "memory"
    )
    (groups.above / "cgroup.controllers").write_text("memory cpu")
    assert groups.why("memory") == ""
    (groups.above / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    assert "other processes are in its control group" in groups.why("memory")
    assert "1 (" in groups.why("memory")
    (groups.above / "cgroup.subtree_control").write_text("memory")
    assert groups.why("memory") == ""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "may not be written" in groups.why("cpu")


def test_a_unit_has_to_say_that_it_takes_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else systemd could start no supervisor in its group."""
    unit = tmp_path / "gapless.service"
    unit.mkdir()
    for name in ("cgroup.subtree_control", "cgroup.procs", "cgroup.type"):
        (unit / name).write_text("")
    (unit / "cgroup.controllers").write_text("memory")
    monkeypatch.setattr(os.path, "isdir", lambda path: path == "/run/systemd/system")
    monkeypatch.delenv("GAPLESS_CGROUPS", raising=False)
    why = instance_limits.why_unavailable(str(unit), "memory", lambda _: True)
    assert "write the unit anew: `gapless startup`" in why
    assert not instance_limits.why_unavailable(
        str(unit), "memory", lambda _: True, below=True
    )
    monkeypatch.setenv("GAPLESS_CGROUPS", "limits")
    assert not instance_limits.why_unavailable(str(unit), "memory", lambda _: True)


@pytest.mark.parametrize(
    ("own", "above"),
    [
        ("/a.service", "/a.service"),
        ("/a.service/gapless-supervisor", "/a.service"),
        ("/a.service/.control", "/a.service"),
    ],
)
def test_groups_are_beside_that_of_the_supervisor(own: str, above: str) -> None:
    """Where it was put, by itself or by systemd, below the one it was given."""
    hierarchy = cgroups.Hierarchy("/sys/fs/cgroup", "/", own)
    assert instance_limits.parent_of_groups(hierarchy) == f"/sys/fs/cgroup{above}"


def test_events_of_memory_are_read(tmp_path: Path) -> None:
    """Those of a group without limits are not there."""
    assert controllers.memory_events(str(tmp_path)).killed == 0
    (tmp_path / "memory.events").write_text("low 0\nmax 7\noom 2\noom_kill 1\n")
    found = controllers.memory_events(str(tmp_path))
    assert (found.own_limit, found.killed) == (2, 1)
