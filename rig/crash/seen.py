"""What can be seen of a host from outside: the list, the processes, the kernel's tables."""

from __future__ import annotations

import collections
import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rig.crash.address import Address
from rig.crash.scenarios import NAME, NOTES, Outcome
from rig.hosts import control
from rig.hosts.host import Host

_NOT_OURS = (".log", "trace-#")
"""Descriptors that an app may need or not, or that the harness opened."""
OURS = ("pid", "keeper_pid", "guardian_pid")
"""What `list` calls the processes of gapless itself."""
FOUND_AGAIN = "found again after keeper and guardian had died"
_ASKED = 4
_ANSWER_S = 3.0


@dataclass(slots=True)
class Seen:
    """One look at a host."""

    outcome: Outcome
    code: int | None
    """The exit code of the command; None if nobody waited for it."""
    supervisor: dict[str, Any] = field(default_factory=dict)
    row: dict[str, Any] | None = None
    """The row of the app in the list."""
    beside: dict[str, Any] | None = None
    """The row of the other app, if there is one."""
    notes: list[str] = field(default_factory=list)
    """Which of both began and ended, in that order."""
    described: dict[str, Any] | None = None
    survived: bool = False
    """Whether an instance of it is one that outlived keeper and guardian."""
    processes: dict[int, str] = field(default_factory=dict)
    """Every process of the host, with its command line."""
    children: set[int] = field(default_factory=set)
    """The children of the keeper, and what a keeper left to its guardian; zombies too."""
    listening: dict[str, set[int]] = field(default_factory=dict)
    """By inode, each listening socket on the app's address, and who holds it."""
    releases: list[str] = field(default_factory=list)
    """Which release answered each of a few new connections; or what went wrong."""
    files: set[str] = field(default_factory=set)
    """The files below GAPLESS_HOME, and beside the path; each number is one `#`."""
    descriptors: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of each of ours: how many descriptors of each kind."""
    error_output: str = ""


def look(host: Host, address: Address, outcome: Outcome, code: int | None) -> Seen:
    """Look at a host."""
    seen = Seen(outcome, code)
    listed = control.ask(host.home, "list")
    if listed is not None:
        seen.supervisor = listed["supervisor"]
        rows = [row for row in listed["apps"] if row["name"] == NAME]
        seen.row = rows[0] if rows else None
        seen.beside = next((r for r in listed["apps"] if r["name"] != NAME), None)
        if rows:
            seen.described = control.ask(host.home, "describe", app=NAME)
        seen.survived = FOUND_AGAIN in str((seen.described or {}).get("reason"))
    seen.processes = host.processes()
    parents = {seen.supervisor.get(name, 0) for name in ("keeper_pid", "guardian_pid")}
    found = (_children(parent) for parent in parents if parent)
    seen.children = set().union(*found) - parents
    seen.listening = _listening(address, set(seen.processes))
    if seen.row and seen.row["instances"]["ready"] == outcome.instances > 0:
        seen.releases = _answers(address)
    seen.files = {
        shown(path, host.home)
        for path in host.home.rglob("*")
        if path.parent.name != "logs"  # an app may write or not
    } | address.names()
    notes = host.directory / NOTES
    seen.notes = notes.read_text().splitlines() if notes.exists() else []
    for name in OURS:
        if pid := seen.supervisor.get(name, 0):
            seen.descriptors[name] = descriptors(pid)
    stderr = host.home / "logs" / "supervisor.err"
    seen.error_output = stderr.read_text() if stderr.exists() else ""
    return seen


def _children(parent: int) -> set[int]:
    found = set()
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            stat = Path(f"/proc/{int(name)}/stat").read_text().rpartition(") ")[2]
            if int(stat.split()[1]) == parent:
                found.add(int(name))
    return found


def _listening(address: Address, pids: set[int]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {inode: set() for inode in address.listening()}
    for pid in pids:
        for target in _targets(pid):
            inode = target.removeprefix("socket:[").rstrip("]")
            if inode in found:
                found[inode].add(pid)
    return found


def _targets(pid: int) -> list[str]:
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def descriptors(pid: int) -> dict[str, int]:
    """Return how many descriptors of each kind a process has; numbers are one `#`."""
    kinds = (re.sub(r":\[\d+\]|.*/", "", target) for target in _targets(pid))
    counts = collections.Counter(re.sub(r"\d+", "#", kind) for kind in kinds)
    return {kind: n for kind, n in counts.items() if not kind.endswith(_NOT_OURS)}


def _answers(address: Address) -> list[str]:
    """Return what answers new connections, up to the first that is not answered."""
    found: list[str] = []
    while len(found) < _ASKED and not (found and "Error" in found[-1]):
        found.append(_answer_of(address))
    return found


def _answer_of(address: Address) -> str:
    try:
        with address.connect(_ANSWER_S) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")
            answer = sock.makefile("rb").read().decode()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    found = re.search(r"release (\S+)", answer)
    return found[1] if found else f"answered {answer!r}"


def shown(path: Path, home: Path) -> str:
    """Return a path below GAPLESS_HOME; each number in it is one `#`."""
    return re.sub(r"\d+", "#", str(path.relative_to(home)))
