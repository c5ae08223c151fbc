"""Start instances, and hold the lines on which they can talk to us."""

from __future__ import annotations

import os
import selectors
import socket
import stat
from collections.abc import Callable

from gapless.base import clock, interpreter
from gapless.base.names import Home
from gapless.supervisor import notify, spec, surroundings, tail
from gapless.supervisor.hands import Hands
from gapless.supervisor.listeners import Listener, Listeners
from gapless.supervisor.records import AppRecord, GenerationRecord, InstanceRecord
from gapless.supervisor.speakers import Speakers

FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)
PRELOAD = os.path.realpath(
    os.path.join(os.path.dirname(__file__), "..", "preload", "preload.js")
)
"""What Node programs load first (the library's own; see packages/.../preload)."""

Hear = Callable[[str, notify.Said], None]


class Launcher:
    """Builds what an instance is started with."""

    def __init__(
        self,
        home: Home,
        selector: selectors.BaseSelector,
        hands: Hands,
        listeners: Listeners,
        *,
        speakers: Speakers,
        interception: bool,
        hear: Hear,
    ) -> None:
        self._home, self._selector = home, selector
        self._hands, self._listeners = hands, listeners
        self._speakers = speakers
        self._interception, self._hear = interception, hear
        self._lines: dict[str, dict[str, socket.socket]] = {}
        self._heard: dict[str, bytes] = {}

    def start(
        self, app: AppRecord, generation: GenerationRecord, ordinal: int
    ) -> InstanceRecord:
        """Ask the keeper to spawn one instance."""
        app.last_serial += 1
        key = f"{app.name}/{generation.number}/{ordinal}/{app.last_serial}"
        instance = InstanceRecord(key=key, ordinal=ordinal, started=clock.monotonic())
        seat = generation.seats[ordinal]
        if seat.ended is not None:
            seat.restarts += 1
            app.restarts += 1
        generation.instances.append(instance)
        wanted = generation.spec
        descriptors: dict[int, socket.socket] = {}
        identity = app.ids[ordinal]
        environment = surroundings.variables(
            wanted,
            key=key,
            generation=generation.number,
            ordinal=ordinal,
            identity=identity,
        )
        environment["NOTIFY_SOCKET"] = self._open_notify(key)
        self._speakers.open()
        environment["GAPLESS_SOCKET"] = self._speakers.address
        if channel := surroundings.channel_variables(wanted):
            descriptors[surroundings.CHANNEL_DESCRIPTOR] = self._open_channel(key)
            environment |= channel
        if wanted.preload and _may_read(wanted, PRELOAD):
            options = environment.get("NODE_OPTIONS", "")
            environment["NODE_OPTIONS"] = surroundings.with_preload(options, PRELOAD)
        elif wanted.preload and surroundings.is_node(wanted):
            app.warning = (
                f"keep-alive connections are not closed in good order: "
                f"{wanted.user or 'its user'} may not read {PRELOAD}"
            )
        for number, address in enumerate(wanted.listen, FIRST_DESCRIPTOR):
            listener = self._given(app, generation, address)
            descriptors[number] = listener.sock
        if wanted.listen:
            environment["LISTEN_FDS"] = str(len(wanted.listen))
        log = surroundings.log(
            wanted,
            self._home.app_log(wanted.name),
            generation=generation.number,
            ordinal=ordinal,
            identity=identity,
        )
        if app.operation is not None and app.operation.generation == generation.number:
            tail.mark(app.operation.log_marks, log)
        message = {
            "key": key,
            "meta": None,
            "argv": command(wanted),
            "environment": environment,
            "directory": wanted.directory,
            "user": wanted.user,
            "group": wanted.group,
            "limits": _limits(wanted.limits),
            "filtered": self._interception
            and wanted.interception
            and not wanted.listen,
            "listen_pid": bool(wanted.listen),
            "log": log,
        }
        self._hands.spawn(message, descriptors)
        if surroundings.CHANNEL_DESCRIPTOR in descriptors:
            descriptors[surroundings.CHANNEL_DESCRIPTOR].close()
        return instance

    def start_relay(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        listener: Listener,
        quiet_s: float,
    ) -> None:
        """Start a relay that serves what waits in the queue of *listener*."""
        app.last_serial += 1
        name = f"relay {listener.name}/{app.last_serial}"
        descriptor = str(FIRST_DESCRIPTOR)
        options = ["--fd", descriptor, "--until-quiet", f"{quiet_s:g}"]
        deadline = ["--deadline", f"{generation.spec.stop.drain_timeout_s:g}"]
        message = {
            "key": name,
            "meta": {"relay": [app.name, generation.number]},
            "argv": interpreter.python(
                "gapless.supervisor.relay", [*options, *deadline]
            ),
            "environment": {},
            "directory": "/",
            "filtered": False,
            "log": surroundings.log(
                spec.AppSpec(name=app.name, command=(), directory="/"),
                self._home.own_log,
                generation=generation.number,
                ordinal=0,
                identity=0,
            ),
        }
        self._hands.spawn(message, {FIRST_DESCRIPTOR: listener.sock})

    def send(self, key: str, line: bytes) -> bool:
        """Send a line on Node's channel; tell whether there is one."""
        channel = self._lines.get(key, {}).get("channel")
        if channel is None:
            return False
        try:
            channel.send(line)
        except OSError:
            return False
        return True

    def forget(self, key: str) -> None:
        """Close the lines of an instance that is gone."""
        for kind, sock in self._lines.pop(key, {}).items():
            self._selector.unregister(sock)
            sock.close()
            self._hands.release(f"{kind}/{key}")
        self._heard.pop(key, None)

    def adopt(self, name: str, descriptor: int) -> None:
        """Take over a line that the keeper held; *name* is `kind/key`."""
        kind, _, key = name.partition("/")
        sock = socket.socket(fileno=descriptor)
        self._watch(kind, key, sock)

    # --- lines --------------------------------------------------------------------

    def _open_notify(self, key: str) -> str:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Abstract: no file to clean up, no limit on the length of GAPLESS_HOME (unix(7)).
        name = f"gapless/{os.urandom(8).hex()}"
        sock.bind(f"\0{name}")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._hands.hold(f"notify/{key}", None, sock.fileno())
        self._watch("notify", key, sock)
        return f"@{name}"

    def _open_channel(self, key: str) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._hands.hold(f"channel/{key}", None, ours.fileno())
        self._watch("channel", key, ours)
        return theirs

    def _watch(self, kind: str, key: str, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._lines.setdefault(key, {})[kind] = sock
        listen = self._hear_datagrams if kind == "notify" else self._hear_lines
        self._selector.register(sock, selectors.EVENT_READ, lambda: listen(key, sock))

    def _hear_datagrams(self, key: str, sock: socket.socket) -> None:
        try:
            datagram, ancillary, _, _ = sock.recvmsg(4096, socket.CMSG_SPACE(12) + 64)
        except BlockingIOError:
            return
        if _sender_uid(ancillary) in (0, os.getuid()) or os.getuid() == 0:
            self._hear(key, notify.parse_datagram(datagram))

    def _hear_lines(self, key: str, sock: socket.socket) -> None:
        try:
            piece = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._selector.unregister(sock)
            sock.close()
            del self._lines[key]["channel"]
            self._hands.release(f"channel/{key}")
            return
        said, rest = notify.parse_lines(self._heard.get(key, b"") + piece)
        self._heard[key] = rest
        self._hear(key, said)

    # --- pieces -------------------------------------------------------------------

    def _given(
        self, app: AppRecord, generation: GenerationRecord, address: str
    ) -> Listener:
        for listener in self._listeners.of(app.name, generation.lineage):
            if listener.address == address:
                return listener
        listener = self._listeners.open(app.name, generation.lineage, address)
        generation.sockets.add(listener.name)
        return listener


def command(wanted: spec.AppSpec) -> list[str]:
    """Return the program and its arguments with `{fd}`, `{fd1}`... filled in."""
    names = {
        "{fd}" if not index else f"{{fd{index}}}": str(FIRST_DESCRIPTOR + index)
        for index in range(len(wanted.listen))
    }
    argv = list(wanted.command)
    for name, number in names.items():
        argv = [argument.replace(name, number) for argument in argv]
    return argv


def _may_read(wanted: spec.AppSpec, path: str) -> bool:
    """Tell whether the user of an app may read one of our files; Node would not start."""
    if not wanted.user or wanted.user in ("root", "0"):
        return os.access(path, os.R_OK)
    try:
        if not os.stat(path).st_mode & stat.S_IROTH:
            return False
        while path != "/":
            path = os.path.dirname(path)
            if not os.stat(path).st_mode & stat.S_IXOTH:
                return False
    except OSError:
        return False
    return True


def _limits(limits: spec.Limits) -> dict[str, int]:
    found = {
        "open_files": limits.open_files,
        "processes": limits.processes,
        "core_bytes": limits.core_bytes,
    }
    return {name: limit for name, limit in found.items() if limit is not None}


def _sender_uid(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return int.from_bytes(content[4:8], "little")
    return -1
