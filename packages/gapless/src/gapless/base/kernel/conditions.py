"""Why a process does not answer, by the kernel's word, and what to do about it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gapless.base.outside.text import printable

LONGEST_FILE_BYTES = 8192
_FREEZERS = ("freezer", "refrigerator")
"""In the name of the kernel's function where a frozen process waits (cgroups(7))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a process is."""

    reason: str
    hint: str
    is_held: bool = False
    """Whether it does nothing at all until somebody lets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the kernel shows of a process."""

    pid: int
    state: str
    """The letter in /proc/PID/status (proc(5))."""
    tracer: int = 0
    tracer_name: str = ""
    waits_in: str = ""
    """The function of the kernel that it waits in, if that is shown."""


def of(pid: int) -> Condition | None:
    """Return how a process is; None if there is none with that number."""
    found = _read(pid)
    return None if found is None else condition(found)


def condition(found: Found) -> Condition:
    """Return what a user has to know of a process that does not answer.  Pure."""
    where = f", in {found.waits_in}" if found.waits_in else ""
    if any(each in found.waits_in for each in _FREEZERS):
        return Condition(
            reason="its control group is frozen",
            hint="`systemctl thaw`, or 0 in its cgroup.freeze, lets it go on",
            is_held=True,
        )
    match found.state:
        case "T":
            return Condition(
                reason="it is stopped (SIGSTOP)",
                hint=f"`kill -CONT {found.pid}` lets it go on",
                is_held=True,
            )
        case "t":
            name = f" ({found.tracer_name})" if found.tracer_name else ""
            return Condition(
                reason=f"it is stopped, and traced by the process {found.tracer}{name}",
                hint=f"let the debugger go on, or end it (pid {found.tracer})",
                is_held=True,
            )
        case "D":
            return Condition(
                reason=f"it waits for a disk, or for memory (uninterruptible{where})",
                hint="is a file system of the network away, or does the machine swap?",
            )
        case "Z" | "X":
            return Condition(reason="it has ended", hint="ask again")
        case "R":
            return Condition(
                reason="it runs, and has no time for an answer",
                hint="is the machine overloaded?",
            )
        case _:
            return Condition(
                reason=f"it sleeps{where}",
                hint="does the machine swap?",
            )


def _read(pid: int) -> Found | None:
    status = _text(f"/proc/{pid}/status")
    if pid <= 0 or not status:
        return None
    fields = dict(line.partition(":\t")[::2] for line in status.splitlines())
    tracer = int(fields.get("TracerPid", "0") or 0)
    waits_in = _text(f"/proc/{pid}/wchan")
    return Found(
        pid=pid,
        state=fields.get("State", "?")[:1],
        tracer=tracer,
        tracer_name=printable(_text(f"/proc/{tracer}/comm").strip()) if tracer else "",
        waits_in="" if waits_in == "0" else waits_in,
    )


def holder_of_lock(path: str) -> int:
    """Return the pid of the process of gapless that locks a file (flock(2)); 0 if none."""
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks", encoding="ascii") as lines:
            rows = [line.split() for line in lines]
    except (OSError, ValueError):
        return 0
    for row in rows:
        # 1: FLOCK ADVISORY WRITE 4711 00:2f:1234 0 EOF.  The number of the device is
        # not that of stat(2) in every file system.
        if len(row) > 5 and row[1] == "FLOCK" and row[5].endswith(f":{inode}"):
            pid = int(row[4]) if row[4].isdigit() else 0
            if pid and "gapless" in _text(f"/proc/{pid}/cmdline"):
                return pid
    return 0


def _text(path: str) -> str:
    """Return the beginning of a file of /proc; empty if there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(LONGEST_FILE_BYTES).decode(errors="replace")
    except OSError:
        return ""
