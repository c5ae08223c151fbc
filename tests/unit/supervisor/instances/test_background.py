"""An instance that went into the background, and who leads it."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from gapless.supervisor.instances.background import Background
from gapless.supervisor.kernel import processes
from gapless.supervisor.memory.instances import InstanceRecord


def test_a_leader_that_was_announced_meanwhile_is_held_once() -> None:
    """A keeper that follows a dead one announces both leaders, the first again."""
    steps: list[str] = []
    ignored: Any = SimpleNamespace(
        follow=lambda *_: None,
        write=lambda *_, **__: None,
        step=lambda *s: steps.append(s),
    )
    background = Background(ignored, ignored, ignored, ignored, ignored, log=ignored)
    leader = processes.read(os.getpid())
    assert leader is not None
    instance = InstanceRecord(key="app/1/0/1", ordinal=0, started=0.0)
    instance.pid, instance.pidfd = leader.pid, os.pidfd_open(leader.pid)
    before = len(os.listdir("/proc/self/fd"))
    assert background._follow(ignored, instance, leader)
    assert len(os.listdir("/proc/self/fd")) == before
    assert steps == [], "it leads already"
    os.close(instance.pidfd)
