"""The messages of the supervisor, as the keeper reads them (spec/keeper.md).

Each is decoded before anything is done: one that is wrong changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gapless.base import codec, wire
from gapless.keeper.limits import LIMITS
from gapless.keeper.logs import rendering
from gapless.keeper.logs.settings import LogSettings
from gapless.keeper.spawn_request import UMASK


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """Start a program."""

    key: str
    meta: Any = None
    argv: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    user: str = ""
    group: str = ""
    user_variables: tuple[str, ...] = ()
    """HOME, USER, LOGNAME, SHELL: those that are to be the user's own."""
    umask: int = UMASK
    limits: dict[str, int] = field(default_factory=dict)
    targets: tuple[int, ...] = ()
    """The number in the program of each descriptor that came with the message."""
    filtered: bool
    paths: bool = False
    """Whether what it does to Unix-domain paths waits for answers as well."""
    connects: bool = False
    """Whether each of its connects does: it may ask so whether its port is free."""
    listen_pid: bool = False
    cgroup: str = ""
    """The control group that it joins before it becomes the program; "" for none."""
    log: LogSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Hold a copy of the descriptor that came with the message."""

    name: str
    meta: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Close a descriptor that is held."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Remember a value; None forgets it."""

    name: str
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Forget a child that has ended."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """Let the process whose pidfd came with the message take the place of a child."""

    key: str
    """A child that has ended, and went into the background."""
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Send a duplicate of a descriptor of another process."""

    name: str
    """Comes back with it."""
    pid: int
    descriptor: int
    """Its number there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Be the keeper of a process that lives, whose keeper and guardian are gone.

    With the message come its pidfd, and the read ends of its pipes.
    """

    key: str
    meta: Any = None
    pid: int
    started: float
    pipes: tuple[int, ...] = ()
    """The inodes of its output."""
    streams: tuple[str, ...] = ()
    """`output`, `error`: of which the pipes came."""
    log: LogSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """Become the installed version."""

    argv: tuple[str, ...] = ()
    """The command that runs it, without the words of `guardian.program`; empty: our own."""


HIGHEST_TARGET = 1 << 16


def read_spawn(message: wire.Message, received: list[int], now_wall: float) -> Spawn:
    """Return what to start.  Raises ValueError, which names what is wrong."""
    codec.check_plain(
        {name: each for name, each in message.items() if name != "meta"}, "spawn"
    )
    wanted = codec.decode(Spawn, message, "spawn")
    if len(wanted.targets) != len(received):
        raise ValueError(
            f"spawn.targets names {len(wanted.targets)} descriptors,"
            f" and {len(received)} came"
        )
    if len(set(wanted.targets)) != len(received) or not all(
        3 <= target <= HIGHEST_TARGET for target in wanted.targets
    ):
        raise ValueError(
            f"spawn.targets are no numbers for a program: {wanted.targets}"
        )
    if unknown := set(wanted.limits) - set(LIMITS):
        raise ValueError(f"spawn.limits has {', '.join(sorted(unknown))}")
    if not 0 <= wanted.umask <= 0o777:
        raise ValueError(f"spawn.umask is {wanted.umask}")
    try:
        rendering.date(wanted.log.date_format, now_wall)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"spawn.log.date_format: {error}") from error
    return wanted
