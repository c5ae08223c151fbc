"""The keeper: hands without a head.

Rule 1: it decides nothing.  It does what the supervisor says and tells what happened.
Rule 2: it survives every supervisor.  A new one is told all that is here: children and
how they ended, descriptors by name, notes, and the system calls that wait for an answer.
Rule 3: nobody waits for it: logs are always emptied (`outputs`), and a call that no
supervisor answers goes its own way at last (`calls`).

Messages are in spec/keeper.md.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from dataclasses import dataclass
from typing import Any

from gapless.base import clock, wakeup, wire
from gapless.keeper import process_title, spawn
from gapless.keeper.logs import outputs, streams
from gapless.keeper.seccomp import waiting_calls

ALONE_S = 10.0
"""How long it waits for a supervisor when it keeps nothing."""
LISTEN_BACKLOG = 16


@dataclass(slots=True)
class Child:
    """An instance's leader, alive or ended."""

    key: str
    meta: Any
    pid: int
    pidfd: int
    started: float
    streams: list[streams.Stream]
    status: int | None = None
    ended: float | None = None


class Keeper:
    """Holds what must outlive the supervisor."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.selector = selectors.DefaultSelector()
        self.children: dict[str, Child] = {}
        self.held: dict[str, tuple[Any, int]] = {}
        self.notes: dict[str, Any] = {}
        self.outputs = outputs.Outputs(self.selector)
        self.calls = waiting_calls.Calls(
            self.selector, self.held, self._tell, lambda: self.channel is not None
        )
        self.channel: wire.Channel | None = None
        self.ending = False
        self.alone_since = clock.monotonic()
        self.listener = _listen(home)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.wakeup = wakeup.on([signal.SIGCHLD])
        self.selector.register(self.wakeup, selectors.EVENT_READ, self._reap)

    def serve(self) -> None:
        """Run until told to end, or until there is nobody and nothing to keep."""
        while not self._is_over():
            wire.take_turn(self.selector, self._timeout_s())
            self.calls.proceed_with_orphans()
            self.outputs.retry()

    def _is_over(self) -> bool:
        if self.ending:
            return not self._has_living()
        return self._is_alone() and clock.monotonic() >= self.alone_since + ALONE_S

    def _has_living(self) -> bool:
        return any(child.status is None for child in self.children.values())

    def _is_alone(self) -> bool:
        """Tell whether there is nobody to serve and nothing to keep."""
        return self.channel is None and not self.held and not self._has_living()

    def _timeout_s(self) -> float | None:
        waits = [self.calls.wait_s(), self.outputs.wait_s()]
        if self._is_alone():
            waits.append(self.alone_since + ALONE_S - clock.monotonic())
        known = [wait_s for wait_s in waits if wait_s is not None]
        return max(0.0, min(known)) if known else None

    # --- the supervisor comes, speaks, goes -------------------------------------

    def _accept(self) -> None:
        sock, _ = self.listener.accept()
        if _peer_uid(sock) not in (0, os.getuid()):
            sock.close()
            return
        if self.channel is not None:
            self._lose_supervisor()
        self.channel = wire.Channel(sock)
        self.selector.register(sock, selectors.EVENT_READ, self._hear)
        self._tell_everything()

    def _tell_everything(self) -> None:
        for name, (meta, descriptor) in self.held.items():
            self._tell({"event": "held", "name": name, "meta": meta}, descriptor)
        for name, value in self.notes.items():
            self._tell({"event": "note", "name": name, "value": value})
        for child in self.children.values():
            self._tell_spawned(child)
            if child.status is not None:
                self._tell_ended(child)
        self._tell({"event": "welcome", "pid": os.getpid()})
        self.calls.tell_all()

    def _tell_spawned(self, child: Child) -> None:
        message = {
            "event": "spawned",
            "key": child.key,
            "meta": child.meta,
            "pid": child.pid,
            "started": child.started,
        }
        self._tell(message, child.pidfd)

    def _tell_ended(self, child: Child) -> None:
        message = {
            "event": "ended",
            "key": child.key,
            "status": child.status,
            "at": child.ended,
        }
        self._tell(message)

    def _tell(self, message: wire.Message, *descriptors: int) -> None:
        if self.channel is None:
            return
        try:
            self.channel.send(message, descriptors)
        except OSError:
            # It is gone; what it had said before is still to be read, up to its end.
            self.channel.drop_outgoing()
        else:
            self._watch_channel()

    def _flush(self, channel: wire.Channel) -> None:
        try:
            channel.flush()
        except OSError:
            channel.drop_outgoing()

    def _watch_channel(self) -> None:
        """Wait for room too while something waits to be sent."""
        if self.channel is not None:
            events = selectors.EVENT_READ
            if self.channel.outgoing:
                events |= selectors.EVENT_WRITE
            self.selector.modify(self.channel.sock, events, self._hear)

    def _lose_supervisor(self) -> None:
        if self.channel is None:
            return
        self.selector.unregister(self.channel.sock)
        self.channel.close()
        self.channel = None
        self.alone_since = clock.monotonic()
        self.calls.orphan()

    def _hear(self) -> None:
        channel = self.channel
        try:
            while channel is not None and channel is self.channel:
                self._flush(channel)
                message, descriptors = channel.receive()
                try:
                    self._do(message, descriptors)
                finally:
                    for descriptor in descriptors:
                        os.close(descriptor)
        except BlockingIOError:
            self._watch_channel()
        except (EOFError, OSError):
            self._lose_supervisor()
        except (ValueError, KeyError, TypeError) as error:
            self._tell({"event": "misunderstood", "reason": repr(error)})

    def _do(self, message: wire.Message, descriptors: list[int]) -> None:
        match message["op"]:
            case "hold":
                self._release(message["name"])
                kept = os.dup(descriptors[0])
                self.held[message["name"]] = (message.get("meta"), kept)
            case "release":
                self._release(message["name"])
                self._tell({"event": "released", "name": message["name"]})
            case "note":
                if message["value"] is None:
                    self.notes.pop(message["name"], None)
                else:
                    self.notes[message["name"]] = message["value"]
            case "spawn":
                self._spawn(message, descriptors)
            case "answer":
                self.calls.answer(message)
            case "forget":
                self._forget(message["key"])
            case "end":
                self.ending = True
            case other:
                raise ValueError(f"no such op: {other}")

    def _release(self, name: str) -> None:
        if name in self.held:
            os.close(self.held.pop(name)[1])

    # --- children ---------------------------------------------------------------

    def _spawn(self, message: wire.Message, descriptors: list[int]) -> None:
        key, log = message["key"], message["log"]
        pipes = [streams.make_pipe(), streams.make_pipe()]
        try:
            spawned = spawn.spawn(
                spawn.Request(
                    argv=tuple(message["argv"]),
                    environment=message["environment"],
                    directory=message["directory"],
                    user=message.get("user", ""),
                    group=message.get("group", ""),
                    limits=message.get("limits", {}),
                    stdout=pipes[0][1],
                    stderr=pipes[1][1],
                    descriptors=dict(zip(message["targets"], descriptors, strict=True)),
                    filtered=message["filtered"],
                    set_listen_pid=message.get("listen_pid", False),
                )
            )
        except OSError as error:
            for read_end, write_end in pipes:
                os.close(read_end)
                os.close(write_end)
            reason = error.strerror or str(error)
            self._tell({"event": "refused", "key": key, "reason": reason})
            return
        for _, write_end in pipes:
            os.close(write_end)
        child = Child(
            key=key,
            meta=message["meta"],
            pid=spawned.pid,
            pidfd=spawned.pidfd,
            started=clock.monotonic(),
            streams=self.outputs.open(log, [pipes[0][0], pipes[1][0]]),
        )
        self.children[key] = child
        self._tell_spawned(child)
        if spawned.notify >= 0:
            self.calls.watch(key, spawned.notify)

    def _reap(self) -> None:
        self.wakeup.recv(4096)
        by_pid = {c.pid: c for c in self.children.values() if c.status is None}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = by_pid.get(pid)  # others are what instances left behind
            if child is not None:
                child.status, child.ended = status, clock.monotonic()
                self.outputs.drain(child.streams)
                self._tell_ended(child)

    def _forget(self, key: str) -> None:
        child = self.children.get(key)
        if child is None or child.status is None:
            return
        del self.children[key]
        os.close(child.pidfd)
        self.calls.drop(key)
        self.outputs.finish(child.streams)


def prepare(home: str) -> Keeper:
    """Return the keeper of *home*, listening.  Raises OSError."""
    keeper = Keeper(home)
    os.chdir("/")
    process_title.become_subreaper()
    process_title.set_title("gapless keeper")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    return keeper


def run(keeper: Keeper, home: str) -> None:
    """Keep, until there is nothing to keep."""
    keeper.serve()
    os.unlink(f"{home}/keeper.sock")


def _listen(home: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    directory = os.open(home, os.O_PATH | os.O_DIRECTORY)
    try:
        path = f"/proc/self/fd/{directory}/keeper.sock"
        if os.path.lexists(path):
            os.unlink(path)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
    finally:
        os.close(directory)
    listener.listen(LISTEN_BACKLOG)
    listener.setblocking(False)
    return listener


def _peer_uid(sock: socket.socket) -> int:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], "little")
