"""What to start."""

from __future__ import annotations

from dataclasses import dataclass, field

UMASK = 0o022


@dataclass(frozen=True, slots=True, kw_only=True)
class SpawnRequest:
    """A program, and all that it starts with."""

    argv: tuple[str, ...]
    """The program, searched in the PATH of *environment*, and its arguments."""
    environment: dict[str, str]
    """All of it; nothing is inherited."""
    directory: str
    stdout: int
    stderr: int
    descriptors: dict[int, int] = field(default_factory=dict)
    """Number in the program, from 3 -> descriptor of this process."""
    user: str = ""
    """Name or number; empty for the keeper's own."""
    group: str = ""
    """Name or number; empty for the user's own."""
    user_variables: tuple[str, ...] = ()
    """Which of HOME, USER, LOGNAME and SHELL are to be those of *user*."""
    umask: int = UMASK
    limits: dict[str, int] = field(default_factory=dict)
    """open_files, processes, core_bytes: soft and hard limit (setrlimit(2))."""
    filtered: bool = True
    """Whether its binds wait for an answer (`seccomp.notifications`)."""
    paths: bool = False
    """Whether what it does to Unix-domain paths waits as well (`filter_program`)."""
    connects: bool = False
    """Whether each of its connects waits as well."""
    cgroup: str = ""
    """The directory of the control group that it is to run in; empty for the keeper's."""
    set_listen_pid: bool = False
    """Add LISTEN_PID (sd_listen_fds(3)), which only the child knows."""
