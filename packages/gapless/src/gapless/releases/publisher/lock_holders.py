"""Which processes of this host hold a lock, and which of them outlived their command.

Commands inherit the lock, so that a migration whose publisher was killed ends before the
next publisher begins.  What such a command leaves behind inherits it too, and would keep it
for ever: it is ended when the publisher and the command have ended.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal

_TEXT = re.compile(r"pid (?P<pid>\d+) on (?P<host>[^,]+)(, command (?P<command>\d+))?")


def text(command: int | None = None) -> str:
    """Return what a publisher writes into its lock; *command* is 0 before it has a pid."""
    own = f"pid {os.getpid()} on {os.uname().nodename}"
    return own if command is None else f"{own}, command {command}"


def end_stragglers(path: str, written: str) -> None:
    """End the processes that hold a lock, if their publisher and its command ended.

    *written* is the text in the lock.  A publisher on another host is not looked at.
    """
    found = _TEXT.match(written)
    if found is None or found["host"] != os.uname().nodename:
        return
    command = found["command"]
    if command == "0":
        return  # it is not known which of them is the command
    holders = _holders(path)
    if int(found["pid"]) in holders or (command and int(command) in holders):
        return
    for pid in holders:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _holders(path: str) -> set[int]:
    """Return the processes with a descriptor by which a lock on a file is held.

    Those that only wait for it have none (proc_pid_fdinfo(5)).
    """
    wanted = os.path.realpath(path)
    return {
        int(pid)
        for pid in os.listdir("/proc")
        if pid.isdigit() and int(pid) != os.getpid() and _holds(pid, wanted)
    }


def _holds(pid: str, wanted: str) -> bool:
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"/proc/{pid}/fd/{number}") != wanted:
                    continue
                with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:
                    if any(line.startswith("lock:") for line in file):
                        return True
    except OSError:
        pass  # it has ended, or is another user's
    return False
