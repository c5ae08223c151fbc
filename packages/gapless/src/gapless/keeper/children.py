"""The children of the keeper: started, reaped, and forgotten when that is asked for."""

from __future__ import annotations

import os
import selectors
import signal
from dataclasses import dataclass
from typing import Any

from gapless.base import clock, wakeup, wire
from gapless.keeper.logs.stream import Stream, make_pipe
from gapless.keeper.logs.streams import Streams
from gapless.keeper.seccomp.waiting_calls import WaitingCalls
from gapless.keeper.spawn import Spawned, spawn
from gapless.keeper.spawn_request import SpawnRequest
from gapless.keeper.supervisor_connection import SupervisorConnection


@dataclass(slots=True)
class Child:
    """A process that the keeper has spawned: the leader of an instance, or a relay."""

    key: str
    meta: Any
    pid: int
    pidfd: int
    started_at: float
    streams: list[Stream]
    status: int | None = None
    """The wait status (wait(2)); None while it is alive."""
    ended_at: float | None = None


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
        selector.register(self._wakeup, selectors.EVENT_READ, self._reap)

    def has_living(self) -> bool:
        """Return whether a child is alive."""
        return any(child.status is None for child in self._by_key.values())

    def spawn(self, message: wire.Message, descriptors: list[int]) -> None:
        """Start a child; send `spawned`, or `refused` with the reason.

        One that was asked for before is not started twice.
        """
        key, log = message["key"], message["log"]
        if key in self._by_key or key in self._refused:
            self._announce(key)
            return
        pipes = [make_pipe(), make_pipe()]
        stdout, stderr = (write_end for _, write_end in pipes)
        try:
            spawned = _spawn(message, descriptors, stdout, stderr)
        except OSError as error:
            for read_end, write_end in pipes:
                os.close(read_end)
                os.close(write_end)
            self._refused[key] = error.strerror or str(error)
            self._announce(key)
            return
        for _, write_end in pipes:
            os.close(write_end)
        child = Child(
            key=key,
            meta=message["meta"],
            pid=spawned.pid,
            pidfd=spawned.pidfd,
            started_at=clock.monotonic(),
            streams=self._streams.open(log, [read_end for read_end, _ in pipes]),
        )
        self._by_key[key] = child
        self._announce_spawned(child)
        if spawned.notify >= 0:
            self._calls.watch(key, spawned.notify)

    def forget(self, key: str) -> None:
        """Forget a child that has ended, and move the rest of its output to its logs.

        One that could not be started is forgotten as well.
        """
        self._refused.pop(key, None)
        child = self._by_key.get(key)
        if child is None or child.status is None:
            return
        del self._by_key[key]
        os.close(child.pidfd)
        self._calls.unwatch(key)
        self._streams.finish(child.streams)

    def announce_all(self) -> None:
        """Send a new supervisor every child, and how it ended or why it never began."""
        for key in (*self._by_key, *self._refused):
            self._announce(key)

    def _reap(self) -> None:
        self._wakeup.recv(4096)
        by_pid = {c.pid: c for c in self._by_key.values() if c.status is None}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = by_pid.get(pid)  # others are descendants whose parent has ended
            if child is not None:
                child.status, child.ended_at = status, clock.monotonic()
                self._streams.transfer(child.streams)
                self._announce_ended(child)

    def _announce(self, key: str) -> None:
        """Send what is known of a child that was asked for."""
        if key in self._refused:
            reason = self._refused[key]
            self._connection.send({"event": "refused", "key": key, "reason": reason})
            return
        child = self._by_key[key]
        self._announce_spawned(child)
        if child.status is not None:
            self._announce_ended(child)

    def _announce_spawned(self, child: Child) -> None:
        message = {
            "event": "spawned",
            "key": child.key,
            "meta": child.meta,
            "pid": child.pid,
            "started": child.started_at,
        }
        self._connection.send(message, child.pidfd)

    def _announce_ended(self, child: Child) -> None:
        message = {
            "event": "ended",
            "key": child.key,
            "status": child.status,
            "at": child.ended_at,
        }
        self._connection.send(message)


def _spawn(
    message: wire.Message, descriptors: list[int], stdout: int, stderr: int
) -> Spawned:
    return spawn(
        SpawnRequest(
            argv=tuple(message["argv"]),
            environment=message["environment"],
            directory=message["directory"],
            user=message.get("user", ""),
            group=message.get("group", ""),
            limits=message.get("limits", {}),
            stdout=stdout,
            stderr=stderr,
            descriptors=dict(zip(message["targets"], descriptors, strict=True)),
            filtered=message["filtered"],
            set_listen_pid=message.get("listen_pid", False),
        )
    )
