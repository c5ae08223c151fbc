"""Start instances: the command, the environment and the descriptors of each."""

from __future__ import annotations

import os
import socket
import stat

from gapless.base import clock
from gapless.base.names import Home
from gapless.base.outside import secrets
from gapless.supervisor.act import environment, trust
from gapless.supervisor.act.environment import CHANNEL_DESCRIPTOR
from gapless.supervisor.act.interception import Interception
from gapless.supervisor.act.log_settings import log_settings
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.notify_sockets import NotifySockets
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.observe import app_user, log_tail
from gapless.supervisor.observe.instance_groups import InstanceGroups
from gapless.supervisor.observe.variables import file_variables
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.seats import seat_for
from gapless.supervisor.sockets.unix.path_hints import may_serve_on_path

FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)
PRELOAD = os.path.realpath(
    os.path.join(os.path.dirname(__file__), "..", "..", "preload", "preload.js")
)
"""What Node programs load first: a file of the drain library for Node."""


class Launcher:
    """Builds what an instance is started with, and asks the keeper to start it."""

    def __init__(
        self,
        home: Home,
        keeper: KeeperConnection,
        listeners: Listeners,
        *,
        notify_sockets: NotifySockets,
        drain_connections: DrainConnections,
        instance_groups: InstanceGroups,
        interception: Interception,
    ) -> None:
        self._home, self._keeper, self._listeners = home, keeper, listeners
        self._notify_sockets = notify_sockets
        self._drain_connections = drain_connections
        self._instance_groups = instance_groups
        self._interception = interception
        self._path_hints: dict[str, tuple[int, bool]] = {}
        """By app: what was found out for the instances of a generation."""

    def start(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        ordinal: int,
        replaces: str = "",
    ) -> InstanceRecord:
        """Start one instance; it *replaces* the one of that key, in the same seat."""
        from_files = file_variables.of_generation(generation)
        generation.declares_trust |= trust.declares_trust(
            file_variables.as_configured(generation)
        )
        instance = self._new_instance(app, generation, ordinal, replaces)
        instance.cgroup = self._instance_groups.make(instance.key)
        wanted, key = generation.spec, instance.key
        self._limit(app, instance, wanted)
        descriptors: dict[int, socket.socket] = {}
        variables = environment.variables(
            wanted,
            from_files,
            key=key,
            generation=generation.number,
            ordinal=ordinal,
            identity=app.ids[ordinal],
            home=self._home.path,
        )
        variables["NOTIFY_SOCKET"] = self._notify_sockets.open_notify(
            key, _uid_of(wanted.user)
        )
        self._drain_connections.open()
        variables["GAPLESS_SOCKET"] = self._drain_connections.address
        if self._drain_connections.path and not wanted.user:
            # Another user could not reach it: it is in the home.
            variables["GAPLESS_SOCKET_PATH"] = self._drain_connections.path
        channel = None
        if found := environment.channel_variables(wanted):
            channel = self._notify_sockets.open_channel(key)
            descriptors[CHANNEL_DESCRIPTOR] = channel
            variables |= found
        _add_preload(app, wanted, variables)
        for number, address in enumerate(wanted.listen, FIRST_DESCRIPTOR):
            descriptors[number] = self._handed_socket(
                app, generation, address, ordinal
            ).sock
        if wanted.listen:
            variables["LISTEN_FDS"] = str(len(wanted.listen))
        log = log_settings(
            wanted,
            self._home.app_log(wanted.name),
            generation=generation.number,
            ordinal=ordinal,
            identity=app.ids[ordinal],
        )
        if app.operation is not None and app.operation.generation == generation.number:
            log_tail.mark(app.operation.log_marks, log)
            app.operation.secret_values |= secrets.values_of(variables, from_files)
        message = {
            "key": key,
            "meta": {"replaces": replaces} if replaces else None,
            "argv": command(wanted),
            "environment": variables,
            "directory": wanted.directory,
            "user": wanted.user,
            "group": wanted.group,
            "user_variables": environment.of_its_user(wanted, from_files),
            "umask": int(wanted.umask or environment.UMASK, 8),
            "limits": _limits(wanted.limits),
            "filtered": wanted.interception and self._interception.try_again(),
            "paths": app.serves_on_path or self._may_serve_on_path(app, generation),
            "connects": wanted.checks_port,
            "listen_pid": bool(wanted.listen),
            "log": log,
            "cgroup": instance.cgroup,
        }
        self._keeper.spawn(message, descriptors)
        if channel is not None:
            channel.close()
        return instance

    def _limit(
        self, app: AppRecord, instance: InstanceRecord, wanted: spec.AppSpec
    ) -> None:
        """Limit the group of an instance; tell once what has no effect."""
        trouble = self._instance_groups.limit(instance.cgroup, wanted.limits)
        instance.limits_trouble = trouble
        if (
            trouble
            and app.operation is not None
            and not app.operation.took("unlimited")
        ):
            app.step("unlimited", trouble)

    def _may_serve_on_path(self, app: AppRecord, generation: GenerationRecord) -> bool:
        """Return whether an app may bind a path, as long as none of it has served."""
        if any(each.served for each in app.generations if each is not generation):
            return False  # it would have been seen
        known = self._path_hints.get(app.name)
        if known is None or known[0] != generation.number:
            known = generation.number, may_serve_on_path(generation.spec)
            self._path_hints[app.name] = known
        return known[1]

    def _new_instance(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        ordinal: int,
        replaces: str,
    ) -> InstanceRecord:
        app.last_serial += 1
        key = f"{app.name}/{generation.number}/{ordinal}/{app.last_serial}"
        instance = InstanceRecord(
            key=key,
            ordinal=ordinal,
            started=clock.monotonic(),
            incarnation=self._keeper.incarnation,
            replaces=replaces,
        )
        seat = generation.seats[ordinal]
        if seat.exited_at is not None and not replaces:
            app.count_restart(seat, "exit")
        generation.instances.append(instance)
        return instance

    def _handed_socket(
        self, app: AppRecord, generation: GenerationRecord, address: str, ordinal: int
    ) -> Listener:
        seat = seat_for(self._listeners, app.name, generation, ordinal)
        own = generation.sockets_of
        for listener in self._listeners.of(app.name, own):
            # What a generation gave up, and has not closed yet, is not handed out.
            if (listener.address, listener.seat) == (address, seat):
                return listener
        user = generation.spec.user
        listener = self._listeners.open(
            *(app.name, own, address),
            seat=seat,
            shared_as=generation.spec.share_ports,
            owner=_uid_of(user) if user and generation.spec.share_ports else None,
        )
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


def _add_preload(
    app: AppRecord, wanted: spec.AppSpec, variables: dict[str, str]
) -> None:
    """Let a Node program load what closes its connections in good order."""
    if not wanted.preload:
        return
    options = variables.get("NODE_OPTIONS", "")
    if environment.has_permissions(wanted, options):
        app.warning = (
            "keep-alive connections are not closed in good order: with --permission "
            f"Node may not read {PRELOAD}"
        )
    elif _may_read(wanted, PRELOAD):
        variables["NODE_OPTIONS"] = environment.with_preload(options, PRELOAD)
        if wanted.survives_rejections:
            variables["GAPLESS_UNHANDLED_REJECTIONS"] = "log"
    elif environment.is_node(wanted):
        app.warning = (
            f"keep-alive connections are not closed in good order: "
            f"{wanted.user or 'its user'} may not read {PRELOAD}"
        )


def _uid_of(user: str) -> int:
    try:
        return app_user.uid_of(user)
    except LookupError:
        return os.geteuid()  # the keeper says that there is no such user


def _may_read(wanted: spec.AppSpec, path: str) -> bool:
    """Return whether the user of an app may read a file; if not, Node would not start."""
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
