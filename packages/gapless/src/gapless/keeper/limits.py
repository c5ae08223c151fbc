"""The resource limits of a program (setrlimit(2)), and why one cannot be set."""

from __future__ import annotations

import contextlib
import resource

LIMITS = {
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "core_bytes": resource.RLIMIT_CORE,
}
_IN_A_UNIT = {
    "open_files": "LimitNOFILE",
    "processes": "LimitNPROC",
    "core_bytes": "LimitCORE",
}
_OF_THE_SHELL = {"open_files": "n", "processes": "u", "core_bytes": "c"}
_NR_OPEN = "/proc/sys/fs/nr_open"


class LimitError(OSError):
    """A limit could not be set; `strerror` says what the hard limit is, and what to do."""


def set_limits(wanted: dict[str, int]) -> None:
    """Set the soft and the hard limit of this process.  Raises LimitError."""
    for name, limit in wanted.items():
        try:
            resource.setrlimit(LIMITS[name], (limit, limit))
        except (OSError, ValueError) as error:
            hard = resource.getrlimit(LIMITS[name])[1]
            number = getattr(error, "errno", None) or 1
            reason = why_refused(name, limit, hard, most_open_files())
            raise LimitError(number, reason) from error


def why_refused(name: str, limit: int, hard: int, most_files: int) -> str:
    """Return why a limit cannot be set, and what to do; *most_files* is fs.nr_open."""
    if name == "open_files" and limit > most_files >= 0:
        return f"the kernel allows no more than {most_files} ({_NR_OPEN}): raise that"
    shown = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    return (
        f"the hard limit of the supervisor is {shown}, and it may not raise that: "
        f"ask for no more, or start the supervisor with more "
        f"({_IN_A_UNIT[name]}={limit} in its unit; `ulimit -H{_OF_THE_SHELL[name]} "
        f"{limit}` as root, then `gapless shutdown` and start again)"
    )


def most_open_files() -> int:
    """Return how many files a process may have at most, whatever its limit; -1: unknown."""
    with contextlib.suppress(OSError, ValueError), open(_NR_OPEN) as file:
        return int(file.read())
    return -1
