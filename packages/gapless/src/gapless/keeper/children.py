"""The children of the keeper: started, reaped, and forgotten when that is asked for."""

from __future__ import annotations

import os
import selectors
import signal
from dataclasses import dataclass
from typing import Any

from gapless.base import clock, wakeup, wire
from gapless.keeper import messages
from gapless.keeper.logs.stream import Stream, make_pipe
from gapless.keeper.logs.streams import Streams
from gapless.keeper.seccomp.waiting_calls import WaitingCalls
from gapless.keeper.spawn import spawn
from gapless.keeper.spawn_request import SpawnRequest
from gapless.keeper.supervisor_connection import LONGEST_REASON, SupervisorConnection


@dataclass(slots=True)
class Child:
    """A process that the keeper has spawned: the leader of an instance, or a relay.

    A leader that went into the background was one: then it is the process that follows it.
    """

    key: str
    meta: Any
    pid: int
    pidfd: int
    started_at: float
    streams: list[Stream]
    pipes: list[int]
    """The inodes of its output: who writes there came from it."""
    status: int | None = None
    """The wait status (wait(2)); None if nobody knows it."""
    ended_at: float | None = None
    """None while it is alive."""


class Children:
    """Every child, alive or ended, until the supervisor lets the keeper forget it."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        connection: SupervisorConnection,
        streams: Streams,
        calls: WaitingCalls,
    ) -> None:
        self._connection, self._streams, self._calls = connection, streams, calls
        self._by_key: dict[str, Child] = {}
        self._refused: dict[str, str] = {}
        """By its key: why a child could not be started."""
        self._wakeup = wakeup.on([signal.SIGCHLD])
        self._selector = selector
        selector.register(self._wakeup, selectors.EVENT_READ, self._reap)

    def has_living(self) -> bool:
        """Return whether a child is alive."""
        return any(child.ended_at is None for child in self._by_key.values())

    def spawn(self, message: wire.Message, received: list[int]) -> None:
        """Start a child; send `spawned`, or `refused` with the reason.

        One that was asked for before is not started twice.  Raises ValueError if the
        message names none.
        """
        key = message.get("key")
        if not isinstance(key, str):
            raise ValueError(f"spawn.key is {str(key)[:80]}")  # noqa: TRY004 - one kind
        if key not in self._by_key and key not in self._refused:
            try:
                wanted = messages.read_spawn(message, received, clock.wall())
                self._start(wanted, received)
            except (OSError, ValueError, RecursionError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                self._refused[key] = reason[:LONGEST_REASON]
        self._announce(key)

    def _start(self, wanted: messages.Spawn, received: list[int]) -> None:
        """Start a child.  Raises OSError: then nothing is left of it."""
        pipes: list[tuple[int, int]] = []
        streams: list[Stream] = []
        try:
            pipes += [make_pipe()]
            pipes += [make_pipe()]
            streams = self._streams.open(
                wanted.log, [read_end for read_end, _ in pipes]
            )
            spawned = spawn(_request(wanted, received, *(end for _, end in pipes)))
        except BaseException:
            self._streams.drop(streams)
            for read_end, _ in () if streams else pipes:
                os.close(read_end)
            raise
        finally:
            for _, write_end in pipes:
                os.close(write_end)
        child = Child(
            key=wanted.key,
            meta=wanted.meta,
            pid=spawned.pid,
            pidfd=spawned.pidfd,
            started_at=clock.monotonic(),
            pipes=[os.fstat(read_end).st_ino for read_end, _ in pipes],
            streams=streams,
        )
        self._by_key[wanted.key] = child
        if spawned.notify >= 0:
            self._calls.watch(wanted.key, spawned.notify)

    def forget(self, key: str) -> None:
        """Forget a child that has ended, and move the rest of its output to its logs.

        One that could not be started is forgotten as well.
        """
        self._refused.pop(key, None)
        child = self._by_key.get(key)
        if child is None or child.ended_at is None:
            return
        del self._by_key[key]
        self._connection.close_descriptor(child.pidfd)
        self._calls.unwatch(key)
        self._streams.finish(child.streams)

    def announce_all(self) -> None:
        """Send a new supervisor every child, and how it ended or why it never began."""
        for key in (*self._by_key, *self._refused):
            self._announce(key)

    def _reap(self) -> None:
        self._wakeup.recv(4096)
        by_pid = {c.pid: c for c in self._by_key.values() if c.ended_at is None}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = by_pid.get(pid)  # others are descendants whose parent has ended
            if child is not None:
                self._ended(child, status)

    def _ended(self, child: Child, status: int | None) -> None:
        """Note how a child ended, and announce it; None if nobody knows."""
        child.status, child.ended_at = status, clock.monotonic()
        if child.pidfd in self._selector.get_map():
            self._selector.unregister(child.pidfd)
        try:
            self._streams.transfer(child.streams)
        finally:
            self._announce_ended(child)

    # --- a child that went into the background ----------------------------------------

    def follow(self, wanted: messages.Follow, pidfd: int) -> None:
        """Let a process that a child left behind take its place: its end is the child's.

        Does nothing if it has, and announces it again.  Raises ValueError, OSError.
        """
        child = self._by_key.get(wanted.key)
        if child is None:
            raise ValueError(f"follow.key is {wanted.key[:80]}")
        if child.pid != wanted.pid:
            if child.ended_at is None:
                raise ValueError(f"follow.key {wanted.key[:80]} has not ended")
            copy = os.dup(pidfd)
            self._connection.close_descriptor(child.pidfd)
            child.pid, child.pidfd = wanted.pid, copy
            child.status = child.ended_at = None
            # It may be nobody's child but of the instance's; SIGCHLD tells only of ours.
            self._selector.register(
                copy, selectors.EVENT_READ, lambda: self._follower_ended(child)
            )
        self._announce(wanted.key)

    def _follower_ended(self, child: Child) -> None:
        if child.ended_at is not None:
            return  # it was ours, and was reaped
        try:
            found = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            found = None  # another process has its status, or had
        self._ended(child, None if found is None else _wait_status(found))

    def _announce(self, key: str) -> None:
        """Send what is known of a child that was asked for."""
        if key in self._refused:
            reason = self._refused[key]
            self._connection.send({"event": "refused", "key": key, "reason": reason})
            return
        child = self._by_key[key]
        self._announce_spawned(child)
        if child.ended_at is not None:
            self._announce_ended(child)

    def _announce_spawned(self, child: Child) -> None:
        message = {
            "event": "spawned",
            "key": child.key,
            "meta": child.meta,
            "pid": child.pid,
            "started": child.started_at,
            "pipes": child.pipes,
        }
        self._connection.send(message, child.pidfd)

    def _announce_ended(self, child: Child) -> None:
        message = {
            "event": "ended",
            "key": child.key,
            "status": child.status,
            "at": child.ended_at,
            "left": self._calls.has_process(child.key),
        }
        self._connection.send(message)


def _wait_status(found: os.waitid_result) -> int:
    """Return what waitid(2) found as waitpid(2) does."""
    if found.si_code == os.CLD_EXITED:
        return found.si_status << 8
    return found.si_status | (0x80 if found.si_code == os.CLD_DUMPED else 0)


def _request(
    wanted: messages.Spawn, received: list[int], stdout: int, stderr: int
) -> SpawnRequest:
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
        set_listen_pid=wanted.listen_pid,
        cgroup=wanted.cgroup,
    )
