"""What a process uses: memory, processor time, wake-ups.  proc(5)."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    return int(_status(pid)["VmRSS"].split()[0]) / 1024


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    return _seconds(_stat(pid)[11:13])


def children_s(pid: int) -> float:
    """Return the processor time of its children that have ended, and theirs."""
    return _seconds(_stat(pid)[13:15])


def children(pid: int) -> list[int]:
    """Return the living children of a process; `task/PID/children` is not everywhere."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and int(_stat(int(name))[1]) == pid:
                found.append(int(name))
        except OSError:
            continue  # it has ended
    return found


def wakeups(pid: int) -> int:
    """Return how often a process has slept and woken up."""
    return int(_status(pid)["voluntary_ctxt_switches"])


def reads(pid: int) -> int:
    """Return how many system calls of a process have read from a file, /proc included."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["syscr"])


def is_alive(pid: int) -> bool:
    """Return whether a process lives; a zombie does not."""
    try:
        return not _status(pid)["State"].startswith("Z")
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """Return the fields from the third on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _seconds(ticks: list[str]) -> float:
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name: value.strip() for name, _, value in pairs}
