"""The limit of open files of the shell, against that of the apps it starts.

Apps get the limits that their supervisor was started with, by an earlier shell or a unit.
"""

from __future__ import annotations

import contextlib
import resource
from typing import Any

from gapless.base.errors import GaplessError
from gapless.client import Client
from gapless.supervisor.memory.spec import AppSpec

_LINE = "Max open files"
"""How proc(5) calls that limit in /proc/PID/limits."""


def warning_about(client: Client, wanted: AppSpec) -> str:
    """Return what to say if an app that was just started may open less than the shell.

    Empty if it may open as much, or says itself how much.
    """
    if wanted.limits.open_files is not None:
        return ""
    shell = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    pids: list[int] = []
    with contextlib.suppress(GaplessError):
        found: dict[str, Any] = client.request("describe", app=wanted.name)
        pids = found["pids"]
    for pid in pids:
        limits = _limits_of(pid)
        if limits is not None and _is_less(limits[0], shell):
            return _sentence(shell, *limits)
    return ""


def _limits_of(pid: int) -> tuple[int, int] | None:
    """Return the soft and the hard limit of open files of a process, if it lives."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/limits") as file:
        for line in file:
            if line.startswith(_LINE):
                soft, hard = line.removeprefix(_LINE).split()[:2]
                return _number(soft), _number(hard)
    return None


def _number(word: str) -> int:
    return resource.RLIM_INFINITY if word == "unlimited" else int(word)


def _is_less(limit: int, other: int) -> bool:
    if limit == resource.RLIM_INFINITY:
        return False
    return other == resource.RLIM_INFINITY or limit < other


def _sentence(shell: int, soft: int, hard: int) -> str:
    names = {resource.RLIM_INFINITY: "unlimited"}
    allowed = names.get(shell, str(shell))
    text = (
        f"open files: it may have {soft}, this shell {allowed}; apps get the limits "
        "that the supervisor was started with. "
    )
    if not _is_less(hard, shell):
        return text + f"Write limits = {{ open_files = {allowed} }} for this app"
    return text + (
        f"Its hard limit is {names.get(hard, str(hard))}: start it with more "
        "(LimitNOFILE in its unit, or `gapless shutdown` and start from this shell)"
    )
