"""What a long-lived process sets for itself in the kernel: its title, and subreaper."""

from __future__ import annotations

import ctypes

_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36


def become_subreaper() -> None:
    """Become the parent of descendants whose own parent ends (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_title(title: str) -> None:
    """Show *title* as the command line and its first word as the name of the process.

    A process may overwrite the memory that holds its arguments (proc(5),
    /proc/PID/cmdline); a title that does not fit there is cut.  Out of descriptors it
    stays as it is.
    """
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return
    start, end = int(fields[45]), int(fields[46])
    if start and end > start:
        size = end - start
        ctypes.memmove(start, title.encode()[: size - 1].ljust(size, b"\0"), size)
    name = ctypes.create_string_buffer(title.split(maxsplit=1)[0].encode())
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name, 0, 0, 0)
