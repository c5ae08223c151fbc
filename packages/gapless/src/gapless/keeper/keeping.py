"""The keeper: hands without a head.

Rule 1: it decides nothing.  It does what the supervisor says and tells what happened.
Rule 2: it survives every supervisor.  A new one is told all that is here: children and
how they ended, descriptors by name, notes, and the system calls that wait for an answer.
Rule 3: nobody waits for it: logs are always emptied, and a call that no supervisor
answers within `ORPHAN_S` proceeds as if there were no filter.

Messages are in spec/keeper.md.
"""

from __future__ import annotations

import errno
import os
import selectors
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gapless.base import clock, wire
from gapless.keeper import interception, logfile, logs, processname, spawn

ORPHAN_S = 10.0
LOG_RETRY_S = 1.0
LISTEN_BACKLOG = 16


@dataclass(slots=True)
class Pending:
    """A system call of an instance that waits for an answer."""

    notification: interception.Notification
    orphaned: float | None = None
    """Since when no supervisor is there to answer it."""


@dataclass(slots=True)
class Child:
    """An instance's leader, alive or ended."""

    key: str
    meta: Any
    pid: int
    pidfd: int
    notify: int
    started: float
    streams: list[logs.Stream]
    status: int | None = None
    ended: float | None = None
    pending: dict[int, Pending] = field(default_factory=dict)


class Keeper:
    """Holds what must outlive the supervisor."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.selector = selectors.DefaultSelector()
        self.children: dict[str, Child] = {}
        self.held: dict[str, tuple[Any, int]] = {}
        self.notes: dict[str, Any] = {}
        self.files: dict[str, logfile.LogFile] = {}
        self.blocked: list[logs.Stream] = []
        self.retry_at = 0.0
        self.channel: wire.Channel | None = None
        self.ending = False
        self.alone_since = clock.monotonic()
        self.listener = _listen(home)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.wakeup = _wake_on_children()
        self.selector.register(self.wakeup, selectors.EVENT_READ, self._reap)

    def serve(self) -> None:
        """Run until told to end, or until there is nobody and nothing to keep."""
        while not self._is_over():
            wire.take_turn(self.selector, self._timeout_s())
            self._proceed_with_orphans()
            self._retry_blocked()

    def _is_over(self) -> bool:
        if self.ending:
            return not self._has_living()
        return self._is_alone() and clock.monotonic() >= self.alone_since + ORPHAN_S

    def _has_living(self) -> bool:
        return any(child.status is None for child in self.children.values())

    def _is_alone(self) -> bool:
        """Tell whether there is nobody to serve and nothing to keep."""
        return self.channel is None and not self.held and not self._has_living()

    def _timeout_s(self) -> float | None:
        waits = [self.retry_at - clock.monotonic()] if self.blocked else []
        if self._is_alone():
            waits.append(self.alone_since + ORPHAN_S - clock.monotonic())
        waits += [
            pending.orphaned + ORPHAN_S - clock.monotonic()
            for child in self.children.values()
            for pending in child.pending.values()
            if pending.orphaned is not None
        ]
        return max(0.0, min(waits)) if waits else None

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
        for child in self.children.values():
            for pending in list(child.pending.values()):
                pending.orphaned = None
                self._tell_call(child, pending.notification)

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
        now = self.alone_since = clock.monotonic()
        for child in self.children.values():
            for pending in child.pending.values():
                pending.orphaned = now

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
                self._answer(message)
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
        pipes = [logs.make_pipe(), logs.make_pipe()]
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
            notify=spawned.notify,
            started=clock.monotonic(),
            streams=self._streams(log, [pipes[0][0], pipes[1][0]]),
        )
        self.children[key] = child
        if child.notify >= 0:
            self.selector.register(
                child.notify, selectors.EVENT_READ, self._on_call(child)
            )
        self._tell_spawned(child)

    def _streams(self, log: dict[str, Any], read_ends: list[int]) -> list[logs.Stream]:
        streams = []
        for name, read_end in zip(("output", "error"), read_ends, strict=True):
            path = log[name]
            if path not in self.files:
                self.files[path] = logfile.LogFile(
                    path,
                    rotate_bytes=log["rotate_bytes"],
                    rotate_s=log["rotate_s"],
                    keep=log["keep"],
                )
            file = self.files[path]  # the newest configuration counts
            file.rotate_bytes, file.rotate_s = log["rotate_bytes"], log["rotate_s"]
            file.keep = log["keep"]
            stream = logs.Stream(
                read_end,
                file,
                app=log["app"],
                generation=log["generation"],
                ordinal=log["ordinal"],
                name="out" if name == "output" else "err",
                format=log["format"],
                date_format=log["date_format"],
            )
            streams.append(stream)
            self.selector.register(
                read_end, selectors.EVENT_READ, self._on_output(stream)
            )
        return streams

    def _on_output(self, stream: logs.Stream) -> Callable[[], None]:
        return lambda: self._pump(stream)

    def _pump(self, stream: logs.Stream) -> None:
        self._after(stream, stream.pump(clock.wall()))

    def _after(self, stream: logs.Stream, status: logs.Status) -> None:
        """Listen to a stream or not, as its status asks for."""
        listened_to = stream.read_fd in self.selector.get_map()
        if status is logs.Status.OPEN and not listened_to:
            self.selector.register(
                stream.read_fd, selectors.EVENT_READ, self._on_output(stream)
            )
        elif status is not logs.Status.OPEN and listened_to:
            self.selector.unregister(stream.read_fd)
        if status is logs.Status.BLOCKED and stream not in self.blocked:
            self.blocked.append(stream)
        elif status is not logs.Status.BLOCKED and stream in self.blocked:
            self.blocked.remove(stream)
        if status is logs.Status.ENDED:
            stream.close()
            for child in self.children.values():
                if stream in child.streams:
                    child.streams.remove(stream)

    def _retry_blocked(self) -> None:
        now = clock.monotonic()
        if self.blocked and now >= self.retry_at:
            self.retry_at = now + LOG_RETRY_S
            for stream in list(self.blocked):
                self._after(stream, stream.retry(clock.wall()))

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
                for stream in list(child.streams):
                    if stream not in self.blocked:
                        self._pump(stream)  # its last words come before its end
                self._tell_ended(child)

    def _forget(self, key: str) -> None:
        child = self.children.get(key)
        if child is None or child.status is None:
            return
        del self.children[key]
        os.close(child.pidfd)
        if child.notify >= 0:
            self._drop_notify(child)
        for stream in list(child.streams):
            if stream.finish(clock.wall()):
                self._after(stream, logs.Status.ENDED)
            else:
                self._after(stream, logs.Status.BLOCKED)

    # --- system calls that wait for an answer -------------------------------------

    def _on_call(self, child: Child) -> Callable[[], None]:
        return lambda: self._receive_call(child)

    def _receive_call(self, child: Child) -> None:
        try:
            notification = interception.receive(child.notify)
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            self._drop_notify(child)
            return
        if notification is None:
            if interception.is_over(child.notify):
                self._drop_notify(child)
            return
        if not notification.concerns_us:
            interception.proceed(child.notify, notification.id)
            return
        orphaned = None if self.channel is not None else clock.monotonic()
        child.pending[notification.id] = Pending(notification, orphaned)
        self._tell_call(child, notification)

    def _tell_call(self, child: Child, call: interception.Notification) -> None:
        message: wire.Message = {
            "event": call.call,
            "key": child.key,
            "id": call.id,
            "pid": call.pid,
            "descriptor": call.descriptor,
        }
        if call.address is not None:
            message["host"], message["port"] = call.address.host, call.address.port
        try:
            copy = interception.duplicate(call.pid, call.descriptor)
        except OSError:
            self._proceed(child, call.id)
            return
        try:
            self._tell(message, copy)
        finally:
            os.close(copy)

    def _answer(self, message: wire.Message) -> None:
        child = self.children.get(message["key"])
        pending = child.pending.pop(message["id"], None) if child else None
        if child is None or pending is None:
            return
        call = pending.notification
        match message["action"]:
            case "proceed":
                interception.proceed(child.notify, call.id)
            case "done":
                interception.answer(child.notify, call.id)
            case "fail":
                interception.answer(child.notify, call.id, message["errno"])
            case "inject":
                self._inject(child, call, message["held"])
            case other:
                raise ValueError(f"no such answer: {other}")

    def _inject(self, child: Child, call: interception.Notification, held: str) -> None:
        """Put a held socket in the place of the instance's own."""
        if interception.watched_by_epoll(call.pid, call.descriptor):
            # The registration would stay with the socket that is replaced.
            interception.answer(child.notify, call.id, errno.EOPNOTSUPP)
            reason = "it registered the socket with epoll before bind"
            self._tell({"event": "deaf", "key": child.key, "reason": reason})
            return
        if held not in self.held:
            interception.answer(child.notify, call.id, errno.EADDRNOTAVAIL)
            return
        flags = interception.descriptor_flags(call.pid, call.descriptor)
        if not interception.is_valid(child.notify, call.id):
            return  # it is gone, and what was read of it means nothing
        sock = self.held[held][1]
        os.set_blocking(sock, not flags & os.O_NONBLOCK)
        cloexec = bool(flags & os.O_CLOEXEC)
        interception.inject(
            child.notify, call.id, sock, call.descriptor, cloexec=cloexec
        )

    def _proceed(self, child: Child, call_id: int) -> None:
        child.pending.pop(call_id, None)
        interception.proceed(child.notify, call_id)

    def _proceed_with_orphans(self) -> None:
        now = clock.monotonic()
        for child in self.children.values():
            for call_id, pending in list(child.pending.items()):
                if pending.orphaned is not None and now >= pending.orphaned + ORPHAN_S:
                    self._proceed(child, call_id)

    def _drop_notify(self, child: Child) -> None:
        if child.notify >= 0:
            self.selector.unregister(child.notify)
            os.close(child.notify)
            child.notify = -1
            child.pending.clear()


def prepare(home: str) -> Keeper:
    """Return the keeper of *home*, listening.  Raises OSError."""
    keeper = Keeper(home)
    os.chdir("/")
    processname.become_subreaper()
    processname.set_title("gapless keeper")
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


def _wake_on_children() -> socket.socket:
    read_end, write_end = socket.socketpair()
    for end in (read_end, write_end):
        end.setblocking(False)
    signal.set_wakeup_fd(write_end.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return read_end
