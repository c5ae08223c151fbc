"""Descriptors that came with a message: each is what the message says, or is refused.

What is none would be ready again and again, or never, and the end that is waited for on it
would be that of another process.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection

from gapless.base import codec, wire
from gapless.keeper import messages
from gapless.keeper.spawn_request import SpawnRequest

OUTPUTS = ("output", "error")


def read_take(message: wire.Message, received: list[int]) -> messages.Take:
    """Return which process to take.  Raises ValueError, which names what is wrong."""
    codec.check_plain(
        {name: each for name, each in message.items() if name != "meta"}, "take"
    )
    wanted = codec.decode(messages.Take, message, "take")
    if len(received) != 1 + len(wanted.streams):
        raise ValueError(
            f"take.streams names {len(wanted.streams)} descriptors beside the pidfd,"
            f" and {len(received)} came"
        )
    if set(wanted.streams) - set(OUTPUTS) or _has_twice(wanted.streams):
        raise ValueError(f"take.streams are {wanted.streams}")
    check_pidfd(received[0], wanted.pid, "take.pid")
    for name, each in zip(wanted.streams, received[1:], strict=True):
        if not stat.S_ISFIFO(os.fstat(each).st_mode):
            raise ValueError(f"take.streams: what came for {name} is no pipe")
    return wanted


def check_pidfd(descriptor: int, pid: int, at: str) -> None:
    """Check that a descriptor is a pidfd of that process, which may have ended.

    Raises ValueError, which names *at*; OSError.
    """
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
        lines = [line.split() for line in file]
    # It is -1 of a process that was reaped (pidfd_open(2)).
    found = [int(words[1]) for words in lines if words and words[0] == b"Pid:"]
    if pid <= 0 or not found or found[0] not in (pid, -1):
        raise ValueError(f"{at} is {pid}, and what came is no pidfd of it")


def _has_twice(names: Collection[str]) -> bool:
    return len(set(names)) < len(names)


def spawn_request(
    wanted: messages.Spawn, received: list[int], stdout: int, stderr: int
) -> SpawnRequest:
    """Return what to start: descriptors come in the order of their targets."""
    return SpawnRequest(
        argv=wanted.argv,
        environment=wanted.environment,
        directory=wanted.directory,
        user=wanted.user,
        group=wanted.group,
        user_variables=wanted.user_variables,
        umask=wanted.umask,
        limits=wanted.limits,
        stdout=stdout,
        stderr=stderr,
        descriptors=dict(zip(wanted.targets, received, strict=True)),
        filtered=wanted.filtered,
        paths=wanted.paths,
        connects=wanted.connects,
        set_listen_pid=wanted.listen_pid,
        cgroup=wanted.cgroup,
    )
