"""The children of the keeper: started, reaped, and forgotten when that is asked for.

Rule 1: a child is kept (`guardian.reserve`) before it becomes its program, and how it ended
before it is reaped.
Rule 2: one that does not become its program at once holds nobody else: its directory may be
on a share, or its user in a directory on the network, that does not answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import signal
from dataclasses import dataclass
from typing import Any

from gapless.base import clock, wakeup, wire
from gapless.keeper import messages
from gapless.keeper.guardian import exit_status, process
from gapless.keeper.guardian.reserve import Kept, Reserve
from gapless.keeper.logs.stream import Stream, make_pipe
from gapless.keeper.logs.streams import Streams
from gapless.keeper.received import (
    OUTPUTS,
    check_pidfd,
    read_take,
    spawn_request,
)
from gapless.keeper.seccomp.waiting_calls import WaitingCalls
from gapless.keeper.spawn import Spawned, Starting
from gapless.keeper.supervisor_connection import LONGEST_REASON, SupervisorConnection

CHILD, ENDED, REFUSED = "child/", "ended/", "refused/"
"""How the names begin by which children, their ends, and failed starts are kept."""
BEGINS_S = 0.5
"""A process that is not its program yet ends that soon after the keeper that made it."""
AT_ONCE_S = 0.25
"""How long children are waited for in one turn, all of them, before others have theirs."""
INTERRUPTED = "its keeper has ended before it had become the program"
MOST_ASKED, ASK_AGAIN_S = 5, 0.01
"""How often init is given time to wait for a process that has ended."""


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
    ended_since: float = 0.0
    """If it was found ended by a keeper that followed another: when that one ended."""


@dataclass(frozen=True, slots=True)
class _Late:
    """A child that has not become its program at once."""

    child: Child
    starting: Starting


class Children:
    """Every child, alive or ended, until the supervisor lets the keeper forget it."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        connection: SupervisorConnection,
        streams: Streams,
        calls: WaitingCalls,
        reserve: Reserve,
    ) -> None:
        self._reserve = reserve
        self._connection, self._streams, self._calls = connection, streams, calls
        self._by_key: dict[str, Child] = {}
        self._refused: dict[str, str] = {}
        """By its key: why a child could not be started."""
        self._late: dict[str, _Late] = {}
        """By its key: what has not become its program yet."""
        self._patience_s = AT_ONCE_S
        """How long this turn may still wait."""
        self._wakeup = wakeup.on([signal.SIGCHLD])
        self._selector = selector
        selector.register(self._wakeup, selectors.EVENT_READ, self._reap)

    def has_living(self) -> bool:
        """Return whether a child is alive."""
        living = any(child.ended_at is None for child in self._by_key.values())
        return living or bool(self._late)

    def spawn(self, message: wire.Message, received: list[int]) -> None:
        """Start a child; send `spawned`, or `refused` with the reason, perhaps later.

        One that was asked for before is not started twice.  Raises ValueError if the
        message names none.
        """
        key = message.get("key")
        if not isinstance(key, str):
            raise ValueError(f"spawn.key is {str(key)[:80]}")  # noqa: TRY004 - one kind
        if not any(key in each for each in (self._by_key, self._refused, self._late)):
            try:
                wanted = messages.read_spawn(message, received, clock.wall())
                self._start(wanted, received)
            except (OSError, ValueError, RecursionError) as error:
                self._refuse(key, error)
        if key not in self._late:
            self._announce(key)

    def _refuse(self, key: str, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        self._refused[key] = reason[:LONGEST_REASON]
        self._reserve.put(f"{REFUSED}{key}", self._refused[key].encode())

    def _start(self, wanted: messages.Spawn, received: list[int]) -> None:
        """Start a child.  Raises OSError: then nothing is left of it."""
        pipes: list[tuple[int, int]] = []
        streams: list[Stream] = []
        try:
            pipes += [make_pipe()]
            pipes += [make_pipe()]
            read_ends = [read_end for read_end, _ in pipes]
            streams = self._streams.open(
                wanted.key, wanted.log, dict(zip(OUTPUTS, read_ends, strict=True))
            )
            child = Child(
                key=wanted.key,
                meta=wanted.meta,
                pid=0,
                pidfd=-1,
                started_at=clock.monotonic(),
                pipes=[os.fstat(read_end).st_ino for read_end in read_ends],
                streams=streams,
            )
            request = spawn_request(wanted, received, *(end for _, end in pipes))
            starting = Starting(request, lambda spawned: self._begins(child, spawned))
        except BaseException:
            self._streams.drop(streams)
            for read_end, _ in () if streams else pipes:
                os.close(read_end)
            raise
        finally:
            for _, write_end in pipes:
                os.close(write_end)
        child.pid, child.pidfd = starting.pid, starting.pidfd
        is_late = False
        try:
            is_late = not self._wait(child, starting)
        finally:
            if not is_late:
                starting.close()
        if is_late:
            # The message that asks for it is not there any more if this keeper dies.
            self._reserve.put(f"{REFUSED}{wanted.key}", INTERRUPTED.encode())
            self._late[wanted.key] = _Late(child, starting)
            self._selector.register(
                starting.line,
                selectors.EVENT_READ,
                lambda: self._go_on_late(wanted.key),
            )

    def _wait(self, child: Child, starting: Starting) -> bool:
        """Go on, for as long as this turn may wait; not if others are late already."""
        began = clock.monotonic()
        try:
            wait_s = 0.0 if self._late else self._patience_s
            return self._go_on(child, starting, began + wait_s)
        finally:
            took_s = clock.monotonic() - began
            self._patience_s = max(0.0, self._patience_s - took_s)

    def _go_on(self, child: Child, starting: Starting, until: float) -> bool:
        """Return whether a child runs, False if that takes longer than *until*.

        Raises OSError: then nothing is left of it.
        """
        try:
            spawned = starting.wait(until)
            if spawned is None:
                return False
        except BaseException:
            self._reserve.drop(f"{CHILD}{child.key}")
            self._calls.drop(child.key)
            self._streams.drop(child.streams)
            raise
        child.started_at = clock.monotonic()
        self._by_key[child.key] = child
        self._keep(child, runs=True)
        if spawned.notify >= 0:
            self._calls.watch(child.key, spawned.notify)
        return True

    def _go_on_late(self, key: str) -> None:
        """Go on with what has not become its program at once."""
        late = self._late[key]
        try:
            if not self._go_on(late.child, late.starting, 0.0):
                return
            self._reserve.drop(f"{REFUSED}{key}")
        except Exception as error:  # noqa: BLE001 - it would be ready for good
            self._refuse(key, error)
        del self._late[key]
        self._selector.unregister(late.starting.line)
        late.starting.close()
        self._announce(key)

    def wait_s(self) -> float | None:
        """Return after how long `expire` has something to do; None for never."""
        until = [late.starting.deadline for late in self._late.values()]
        return min(until) - clock.monotonic() if until else None

    def expire(self) -> None:
        """End what has not become its program for too long: once in each turn."""
        self._patience_s = AT_ONCE_S
        now = clock.monotonic()
        for key, late in list(self._late.items()):
            if late.starting.deadline <= now:
                self._go_on_late(key)

    def _begins(self, child: Child, spawned: Spawned) -> None:
        """Keep a child that is about to become its program."""
        child.pid, child.pidfd = spawned.pid, spawned.pidfd
        if spawned.notify >= 0:
            self._calls.keep(child.key, spawned.notify)
        self._keep(child, runs=False)

    def _keep(self, child: Child, *, runs: bool) -> None:
        value = {
            "meta": child.meta,
            "started": child.started_at,
            "pipes": child.pipes,
            "runs": runs,
        }
        encoded = json.dumps(value).encode()
        self._reserve.put(f"{CHILD}{child.key}", encoded, child.pidfd, pid=child.pid)

    def take(self, message: wire.Message, received: list[int]) -> None:
        """Be the keeper of a process that lives.  Raises ValueError, OSError."""
        wanted = read_take(message, received)
        if wanted.key not in self._by_key:
            copies: list[int] = []
            try:
                copies.extend(os.dup(each) for each in received)
                pidfd, *pipes = copies
                for each in pipes:
                    os.set_blocking(each, False)
                ends = dict(zip(wanted.streams, pipes, strict=True))
                streams = self._streams.open(wanted.key, wanted.log, ends)
            except BaseException:
                for each in copies:
                    os.close(each)
                raise
            child = Child(
                key=wanted.key,
                meta=wanted.meta,
                pid=wanted.pid,
                pidfd=pidfd,
                started_at=wanted.started,
                pipes=list(wanted.pipes),
                streams=streams,
            )
            self._by_key[wanted.key] = child
            self._keep(child, runs=True)
            self._watch_end(child)
        self._announce(wanted.key)

    # --- what a keeper before this one has left ---------------------------------------

    def recover(self, streams: dict[str, list[Stream]]) -> None:
        """Go on with the children of a keeper before this one, and their *streams*."""
        for key, kept in self._reserve.named(REFUSED).items():
            self._refused[key] = kept.value.decode(errors="replace")
        until = clock.monotonic() + BEGINS_S  # one time for all
        for key, kept in self._reserve.named(CHILD).items():
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
                self._recover(key, kept, streams.get(key, []), until)
        for key in self._refused.keys() & self._by_key.keys():
            del self._refused[key]  # it runs: it became so as that keeper died
            self._reserve.drop(f"{REFUSED}{key}")
        for key in self._reserve.named(CHILD).keys() - self._by_key.keys():
            self._reserve.drop(f"{CHILD}{key}")
            self._reserve.drop(f"{ENDED}{key}")
        for key in streams.keys() - self._by_key.keys():
            self._streams.drop(streams[key])
        for key in self._calls.keys() - self._by_key.keys():
            self._calls.unwatch(key)
        self._reap()

    def _recover(
        self, key: str, kept: Kept, streams: list[Stream], until: float
    ) -> None:
        """Go on with a child; one that has not begun may end *until* then."""
        value = json.loads(kept.value)
        pidfd = kept.descriptors[0] if kept.descriptors else os.pidfd_open(kept.pid)
        if not value["runs"] and _has_ended(pidfd, until):
            os.close(pidfd)
            return  # it is asked for again: that message was not carried out
        child = Child(
            key=key,
            meta=value["meta"],
            pid=kept.pid,
            pidfd=pidfd,
            started_at=value["started"],
            pipes=value["pipes"],
            streams=streams,
        )
        ended = self._reserve.value(f"{ENDED}{key}")
        if ended is not None:
            child.status, child.ended_at = json.loads(ended)
        self._by_key[key] = child
        if child.ended_at is None and process.parent_of(child.pid) != os.getpid():
            if _has_ended(pidfd, 0):  # the time of its end is not to be had
                child.ended_since = self._reserve.keeper_ended_at
            self._watch_end(child)

    def _watch_end(self, child: Child) -> None:
        """Hear of the end of a process that SIGCHLD does not tell of."""
        self._selector.register(
            child.pidfd, selectors.EVENT_READ, lambda: self._follower_ended(child)
        )

    # --- how they end -----------------------------------------------------------------

    def forget(self, key: str) -> None:
        """Forget a child that has ended, and move the rest of its output to its logs.

        One that could not be started is forgotten as well.
        """
        if self._refused.pop(key, None) is not None:
            self._reserve.drop(f"{REFUSED}{key}")
        child = self._by_key.get(key)
        if child is None or child.ended_at is None:
            return
        del self._by_key[key]
        self._reserve.drop(f"{CHILD}{key}")
        self._reserve.drop(f"{ENDED}{key}")
        self._connection.close_descriptor(child.pidfd)
        self._calls.unwatch(key)
        self._streams.finish(child.streams)

    def announce_all(self) -> None:
        """Send a new supervisor every child, and how it ended or why it never began."""
        for key in (*self._by_key, *self._refused):
            self._announce(key)
        for late in self._late.values():  # else it would be taken for gone
            copy = os.dup(late.child.pidfd)
            self._announce_spawned(late.child, copy)
            self._connection.close_descriptor(copy)

    def announce_emptied(self) -> None:
        """Send again of which ended children no process is left under their filter."""
        for child in self._by_key.values():
            if child.ended_at is not None and not self._calls.has_process(child.key):
                self._connection.send({"event": "emptied", "key": child.key})

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wakeup.recv(4096)
        by_pid = {c.pid: c for c in self._by_key.values() if c.ended_at is None}
        how = os.WEXITED | os.WNOHANG
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, how | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            # Others are descendants whose parent has ended.
            child = by_pid.pop(found.si_pid, None) or self._begun(found.si_pid)
            try:
                if child is not None:
                    self._ended(child, exit_status.wait_status(found))
            finally:
                os.waitid(os.P_PID, found.si_pid, how)

    def _begun(self, pid: int) -> Child | None:
        """Return a child that has ended right after it became its program at last."""
        for key, late in list(self._late.items()):
            if late.child.pid == pid:
                self._go_on_late(key)
                return self._by_key.get(key)
        return None

    def _ended(self, child: Child, status: int | None) -> None:
        """Note how a child ended, and announce it; None if nobody knows."""
        child.status, child.ended_at = status, child.ended_since or clock.monotonic()
        value = json.dumps([status, child.ended_at]).encode()
        self._reserve.put(f"{ENDED}{child.key}", value)
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
            check_pidfd(pidfd, wanted.pid, "follow.pid")
            copy = os.dup(pidfd)
            self._connection.close_descriptor(child.pidfd)
            child.pid, child.pidfd = wanted.pid, copy
            child.status = child.ended_at = None
            child.ended_since = 0.0
            self._reserve.drop(f"{ENDED}{child.key}")
            self._keep(child, runs=True)
            # It may be nobody's child but of the instance's.
            self._watch_end(child)
        self._announce(wanted.key)

    def _follower_ended(self, child: Child) -> None:
        if child.ended_at is not None:
            return  # it was ours, and was reaped
        how = os.WEXITED | os.WNOHANG
        try:
            found = os.waitid(os.P_PIDFD, child.pidfd, how | os.WNOWAIT)
        except ChildProcessError:
            self._ended(child, self._status_elsewhere(child))
            return
        self._ended(child, None if found is None else exit_status.wait_status(found))
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, child.pidfd, how)

    def _status_elsewhere(self, child: Child) -> int | None:
        """Return how a process ended that is another's child; None if nobody knows."""
        for _ in range(MOST_ASKED):
            status = self._reserve.status(f"{CHILD}{child.key}")
            if status is None:
                status = exit_status.of(child.pidfd)
            if status is not None:
                return status
            select.select([], [], [], ASK_AGAIN_S)
        return None

    def _announce(self, key: str) -> None:
        """Send what is known of a child that was asked for."""
        if key in self._refused:
            reason = self._refused[key]
            self._connection.send({"event": "refused", "key": key, "reason": reason})
            return
        child = self._by_key[key]
        self._announce_spawned(child, child.pidfd)
        if child.ended_at is not None:
            self._announce_ended(child)

    def _announce_spawned(self, child: Child, pidfd: int) -> None:
        message = {
            "event": "spawned",
            "key": child.key,
            "meta": child.meta,
            "pid": child.pid,
            "started": child.started_at,
            "pipes": child.pipes,
        }
        self._connection.send(message, pidfd)

    def _announce_ended(self, child: Child) -> None:
        message = {
            "event": "ended",
            "key": child.key,
            "status": child.status,
            "at": child.ended_at,
            "left": self._calls.has_process(child.key),
        }
        self._connection.send(message)


def _has_ended(pidfd: int, until: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(max(0.0, until - clock.monotonic()) * 1000))
