"""What the keeper reports, and which part takes it in.

Nothing is decided here: facts go into the records, and the plan reads them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from gapless.base import clock, events, wire
from gapless.base import descriptors as own
from gapless.base.errors import UnavailableError
from gapless.base.kernel import conditions, peer
from gapless.base.outside import faults
from gapless.supervisor.act.relays import Relays
from gapless.supervisor.act.takeovers import Takeovers
from gapless.supervisor.adoption import Adoption
from gapless.supervisor.instances.background import Background
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.exits import describe_status
from gapless.supervisor.instances.notify_sockets import NotifySockets
from gapless.supervisor.memory.apps import Apps
from gapless.supervisor.memory.keeper_connection import (
    LACKING,
    KeeperConnection,
    KeeperLostError,
    close_all,
)
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.system_calls import SystemCalls

WELCOME_S = 10.0
WITHDRAWN = "withdrawn"
_CALLS = ("bind", "listen", "unlink", "connect")


class KeeperEvents:
    """Passes each event of the keeper to the part that takes it in."""

    def __init__(
        self,
        keeper: KeeperConnection,
        membership: Membership,
        *,
        adoption: Adoption,
        background: Background,
        relays: Relays,
        takeovers: Takeovers,
        system_calls: SystemCalls,
        listeners: Listeners,
        drain_connections: DrainConnections,
        notify_sockets: NotifySockets,
        apps: Apps,
        log: events.Log,
    ) -> None:
        self._keeper, self._membership, self._apps = keeper, membership, apps
        self._adoption, self._background, self._relays = adoption, background, relays
        self._takeovers = takeovers
        self._system_calls, self._listeners = system_calls, listeners
        self._drain_connections, self._log = drain_connections, log
        self._notify_sockets = notify_sockets
        self.answered: Callable[[wire.Message], bool] = lambda _: False
        """Takes in the answer to an upgrade, and returns whether it was that."""

    def adopt_all(self) -> None:
        """Take over all that the keeper holds.

        Raises UnavailableError, KeeperLostError if it has just ended.
        """
        channel = self._keeper.channel
        channel.sock.settimeout(WELCOME_S)
        try:
            while not self._membership.keeper_pid:
                self._handle(*channel.receive())
        except wire.LackingError as error:
            # To go on would forget the sockets of apps that serve.
            raise UnavailableError(
                f"could not take over {error.message.get('name') or 'what runs'}:"
                f" the supervisor is out of file descriptors",
                hint="raise the hard limit (ulimit -Hn, or LimitNOFILE in a unit)",
            ) from error
        except (EOFError, ConnectionError) as error:
            raise KeeperLostError("the keeper has just ended") from error
        except TimeoutError as error:
            pid, _ = peer.credentials_of(channel.sock)
            found = conditions.of(pid)
            reason = "" if found is None else f": {found.reason}"
            raise UnavailableError(
                f"the keeper (pid {pid}) has not answered for {WELCOME_S:.0f} s{reason}",
                hint=f"{found.hint}; the apps serve on" if found else "",
            ) from error
        finally:
            channel.sock.setblocking(False)
        self._adoption.complete()

    def receive(self) -> None:
        """Take in what the keeper has sent."""
        self._keeper.flush()
        came = self._keeper.events()
        withdrawn = {_call(each) for each, _ in came if each.get("event") == WITHDRAWN}
        for message, descriptors in came:
            try:
                if message.get("event") in _CALLS and _call(message) in withdrawn:
                    close_all(descriptors)  # this process was stopped for long
                else:
                    self._handle(message, descriptors)
            except KeeperLostError:
                raise
            except Exception as error:  # noqa: BLE001 - one fault hurts one app
                self._failed(message, error)

    def _failed(self, message: wire.Message, error: Exception) -> None:
        """Log an event that could not be taken in; a system call that waits fails."""
        reason = str(message.get(LACKING) or "") or faults.traceback_of(error)
        self._log.write("keeper-event-failed", message=message, reason=reason)
        kind = message.get("event")
        key, call = message.get("key"), message.get("id")
        if isinstance(key, str) and isinstance(call, int):
            if kind in ("connect", "unlink"):
                self._keeper.answer(key, call, "proceed")
            elif kind in ("bind", "listen"):
                self._system_calls.refuse(key, reason.strip().rpartition("\n")[2])
                self._keeper.answer(key, call, "fail", errno=errno.EMFILE)

    def _handle(self, message: wire.Message, descriptors: list[int]) -> None:
        try:
            self._pass_on(message, descriptors)
        finally:
            close_all(descriptors)

    def _pass_on(self, message: wire.Message, descriptors: list[int]) -> None:
        match message.get("event"):
            case "welcome":
                self._welcome(message)
            case "guardian":
                self._membership.meet(self._membership.keeper_pid, message["pid"])
            case "held":
                self._adoption.held(message, descriptors.pop(0))
            case "note":
                self._adoption.noted(message["name"], message["value"])
            case "spawned":
                self._spawned(message, descriptors)
            case "refused":
                reason = f"could not be started: {message['reason']}"
                self._exited(
                    message["key"], reason, clock.monotonic(), None, left=False
                )
            case "ended":
                status = message["status"]
                code = None if status is None else os.waitstatus_to_exitcode(status)
                reason = describe_status(status)
                left = bool(message.get("left"))
                self._exited(message["key"], reason, message["at"], code, left=left)
            case "emptied":
                self._background.emptied(message["key"])
            case "misunderstood" if message.get("op") == "follow":
                self._log.write("keeper-event", kind="misunderstood", message=message)
                self._background.refused(message["key"])
            case "bind":
                self._system_calls.bind(message, descriptors)
            case "listen":
                self._system_calls.listen(message, descriptors)
            case "connect":
                self._system_calls.connects.connect(message)
            case "unlink":
                self._system_calls.paths.unlink(message)
            case "deaf":
                self._system_calls.refuse(message["key"], message["reason"])
            case "withdrawn":
                self._system_calls.withdrawn(message)
            case "notified":
                said = [
                    (pid, uid, content.encode(errors="surrogateescape"))
                    for pid, uid, content in message["said"]
                ]
                self._notify_sockets.heard(message["key"], said)
            case "log_trouble":
                self._note_log_trouble(message)
            case "duplicate":
                self._takeovers.duplicated(message, descriptors)
            case "released":
                self._listeners.left(message["name"])
            case _ if self.answered(message):
                pass
            case other:  # `misunderstood`, or from a keeper of another version
                self._log.write("keeper-event", kind=other, message=message)

    def _welcome(self, message: wire.Message) -> None:
        """Note which processes the keeper and its guardian are now.

        It comes again when a keeper has died: the next one goes on with the connection.
        """
        before, pid = self._membership.keeper_pid, message["pid"]
        guardian = message.get("guardian", 0)
        if before:
            self._log.write("keeper-goes-on", pid=pid, before=before, guardian=guardian)
        self._membership.meet(pid, guardian)
        self._keeper.incarnation = message.get("incarnation", "")
        self._keeper.version = message.get("version", "")
        self.answered(message)

    def _note_log_trouble(self, message: wire.Message) -> None:
        """Note that the log of an app takes nothing, and what that has cost."""
        app = self._apps.get(str(message["app"]))
        if app is not None:
            app.log_lines_lost = int(message["lines_lost"])
            app.log_trouble = str(message["reason"])
        self._log.write("log-trouble", message=message)

    def _spawned(self, message: wire.Message, descriptors: list[int]) -> None:
        key, meta = message["key"], message["meta"]
        if meta and "takeovers" in meta:
            self._takeovers.started(key, message["pid"])
            return
        if meta and "relay" in meta:
            app, generation = meta["relay"]
            self._relays.started(key, app, generation, message["pid"])
            return
        if LACKING in message:  # the spare one is for this
            descriptors.append(own.with_spare(lambda: os.pidfd_open(message["pid"])))
        found = self._adoption.instance(key, message, descriptors)
        if found is not None:
            _, _, instance = found
            if instance.pid not in (0, message["pid"]):
                instance.background, instance.leader_ticks = True, 0
            instance.pid, instance.started = message["pid"], message["started"]
            if instance.pidfd >= 0:
                os.close(instance.pidfd)
            instance.pidfd = descriptors.pop(0)
            instance.pipes = set(message.get("pipes", ()))
            self._membership.started(instance)
            self._drain_connections.identify_all()

    def _exited(
        self, key: str, reason: str, at: float, code: int | None, *, left: bool
    ) -> None:
        if not (self._relays.ended(key) or self._takeovers.ended(key)):
            self._background.exited(key, reason, at, code, left=left)


def _call(message: wire.Message) -> tuple[object, object]:
    """Return which system call an event is about."""
    return message.get("key"), message.get("id")
