"""The processor time of a process."""

from __future__ import annotations


def spent_s(pid: int) -> float | None:
    """Return the processor time of a process (proc(5), schedstat); None if not known."""
    if not pid:
        return None
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return int(file.read(64).split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
