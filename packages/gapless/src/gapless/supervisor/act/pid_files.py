"""Files with the pid of each instance's leader, for programs that read a pid file.

After every change they are compared with what runs, so that a supervisor that died in
between leaves nothing wrong behind: the next one compares again.
"""

from __future__ import annotations

import os
import re

from gapless.base import events
from gapless.base.outside import reached_path
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.model import Role

_ENDING = re.compile(r"\.pid$")


def update(app: AppRecord, log: events.Log) -> None:
    """Write and remove the pid files of an app; a failure is logged."""
    wanted = _wanted(app)
    if wanted == app.pid_files:
        return
    for path, pid in app.pid_files.items():
        if path not in wanted:
            _remove(path, pid)
    for path, pid in wanted.items():
        if app.pid_files.get(path) == pid:
            continue
        try:
            _write(path, pid)
        except OSError as error:
            log.write("write-failed", path=path, reason=str(error))
    app.pid_files = wanted  # tried once: what fails now would fail at every turn


def _wanted(app: AppRecord) -> dict[str, int]:
    """Return which pid belongs in which file: those of the generations that serve."""
    serving = [
        generation
        for generation in app.generations
        if generation.role
        in (Role.SERVING, Role.PROVING, Role.YIELDING, Role.RECYCLING)
    ]
    if not serving:
        serving = [g for g in app.generations if g.role is Role.TRIAL]
    found = {}
    for generation in serving:
        for instance in generation.instances:
            path = generation.spec.pid_file
            if path and instance.pid and instance.leader_alive and instance.has_seat:
                found[path_of(path, app.ids[instance.ordinal])] = instance.pid
    return found


def path_of(path: str, identity: int) -> str:
    """Return where the pid of one instance is written: its id before `.pid`."""
    with_id, found = _ENDING.subn(f"-{identity}.pid", path)
    return with_id if found else f"{path}-{identity}"


def _remove(path: str, pid: int) -> None:
    """Remove a file, if it is still ours."""
    try:
        with reached_path.parent_of(path) as (directory, name):
            descriptor = reached_path.open_file(directory, name, os.O_RDONLY)
            try:
                if os.read(descriptor, 32).strip() == str(pid).encode():
                    os.unlink(name, dir_fd=directory)
            finally:
                os.close(descriptor)
    except OSError:
        return


def _write(path: str, pid: int) -> None:
    """Write a pid; what else has the name is not followed.  Raises OSError."""
    with reached_path.parent_of(path, make=True) as (directory, name):
        how = os.O_WRONLY | os.O_CREAT
        descriptor = reached_path.open_file(directory, name, how, 0o644)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(pid).encode())
        finally:
            os.close(descriptor)
