"""What the kernel says of a process by its number (proc(5))."""

from __future__ import annotations


def parent_of(pid: int) -> int:
    """Return the parent of a process; 0 if it is gone."""
    fields = _fields(pid)
    return int(fields[1]) if fields else 0


def began_at(pid: int) -> int:
    """Return when a process began, in ticks since the boot; 0 if it has ended.

    Of two that had the same number the later one began later.  An exec changes nothing.
    """
    fields = _fields(pid)
    return int(fields[19]) if fields and fields[0] not in (b"Z", b"X") else 0


def _fields(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on; none if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].split()
    except OSError:
        return []
