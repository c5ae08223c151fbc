"""The supervisor of a world: its own code, with everything that does I/O replaced.

Real are the loop, the plan, every action, exits, adoption, requests, operations, notes and
state.  Replaced are sockets, signals, /proc, files and clocks.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any
from unittest import mock

from gapless.base import clock, codec, events, files
from gapless.base.names import Home
from gapless.supervisor import adoption, loop
from gapless.supervisor.act import instance_actions
from gapless.supervisor.act.generation_actions import GenerationActions
from gapless.supervisor.act.launch import Launcher
from gapless.supervisor.act.performer import Performer
from gapless.supervisor.control.admission import Admissions
from gapless.supervisor.control.dispatch import Dispatch
from gapless.supervisor.control.new_generations import NewGenerations
from gapless.supervisor.control.operations import Operations
from gapless.supervisor.control.requests import Requests
from gapless.supervisor.control.resume import resume
from gapless.supervisor.decide import ending, lead_time, plan, recycle
from gapless.supervisor.instances.exits import Exits
from gapless.supervisor.keeper_events import KeeperEvents
from gapless.supervisor.kernel import processes
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Desired
from gapless.supervisor.memory.notes import Notes
from gapless.supervisor.memory.state import HostRecord, StateFile
from gapless.supervisor.sockets import system_calls
from rig.model import world as worlds
from rig.model.listeners import FakeListeners
from rig.model.world import APP, NOW, TOKEN, Effects, World

HOME = Home("/proc/no-such-home")
INCARNATION = "keeper"


class FakeLog(events.Log):
    """Writes nothing."""

    def write(self, event: str, **fields: Any) -> None:
        """Write nothing."""


class FakeKeeperConnection(KeeperConnection):
    """Sends into the keeper's inbox."""

    def __init__(self, effects: Effects) -> None:
        super().__init__(mock.Mock())
        self._effects = effects
        self.incarnation = INCARNATION

    def _send(self, message: Any, descriptors: tuple[int, ...] = ()) -> None:
        world = self._effects.world
        sent = {key: message[key] for key in message if key in _KEPT}
        world["inbox"].append(sent)
        worlds.take(world)
        self._effects.done()

    def flush_in(self, selector: Any, receive: Any) -> None:
        """Keep nothing back."""


_KEPT = ("op", "name", "meta", "value", "key", "id", "action", "held")


class FakeNotes(Notes):
    """Writes to the keeper only."""

    def _write_file(self, name: str, note: dict[str, Any]) -> None:
        pass

    def read_file(self, name: str) -> AppRecord | None:
        """Return nothing: there is no file."""
        return None


class FakeNotifySockets:
    """Knows only which there are."""

    def __init__(self, keeper: KeeperConnection, keys: set[str]) -> None:
        self._keeper, self._keys = keeper, keys

    def open_notify(self, key: str) -> str:
        """Let the keeper hold one."""
        self._keeper.hold(f"notify/{key}", None, 0)
        self._keys.add(key)
        return "@notify"

    def adopt(self, name: str, _: int) -> None:
        """Take one over."""
        self._keys.add(name.partition("/")[2])

    def close(self, key: str) -> None:
        """Let the keeper release one."""
        if key in self._keys:
            self._keys.remove(key)
            self._keeper.release(f"notify/{key}")

    def close_unknown(self, keys: set[str]) -> None:
        """Let the keeper release all others."""
        for key in self._keys - keys:
            self.close(key)


class FakeEvidence:
    """Sees everything idle at once."""

    def update(self, app: AppRecord) -> None:
        """Note that nothing is under way."""
        for generation in app.generations:
            generation.idle_checks = ending.IDLE_CHECKS
            for instance in generation.instances:
                instance.idle_checks = ending.IDLE_CHECKS
                if not instance.leader_alive:
                    instance.process_count = 0

    def handshakes(self, _: AppRecord) -> set[str]:
        """Return none."""
        return set()

    def queued(self, _: AppRecord, __: GenerationRecord) -> int:
        """Return none."""
        return 0

    def forget(self, _: AppRecord, __: GenerationRecord) -> None:
        """Remember nothing anyway."""


class Connection:
    """The client's connection to the control socket."""

    def __init__(self) -> None:
        self.result: dict[str, Any] | None = None

    def send(self, message: dict[str, Any], last: bool) -> None:
        """Queue a message; the last one is the result."""
        if last:
            self.result = message


class ModelSupervisor:
    """One supervisor for one turn of its loop."""

    def __init__(self, effects: Effects) -> None:
        world = effects.world
        self._effects, self._world = effects, world
        self.apps, self.host = Apps(), HostRecord()
        self.connection = Connection()
        log = FakeLog("")
        self._keeper = keeper = FakeKeeperConnection(effects)
        self.state = StateFile("state", self.apps, self.host, log)
        self.notes = FakeNotes(HOME, keeper, log)
        self.listeners: Any = FakeListeners(effects, keeper)
        living = world["supervisor"]
        if living is not None and living["app"] is not None:
            self._continue(living)
        keys = {i.key for app in self.apps.values() for i in app.instances()}
        notify: Any = FakeNotifySockets(keeper, keys)
        drains: Any = mock.Mock()
        drains.forget.return_value = drains.wait_until.return_value = None
        drains.address = ""
        membership: Any = mock.Mock(keeper_pid=1)
        membership.members.return_value = ()
        membership.count = lambda _, __, instance: int(instance.leader_alive)
        evidence: Any = FakeEvidence()
        relays: Any = mock.Mock()
        relays.is_running.return_value = relays.ended.return_value = False
        nothing: Any = mock.Mock()
        exits = Exits(self.apps, keeper, membership, notify, drains, log=log)
        self._adoption = adoption.Adoption(
            self.apps,
            keeper,
            self.listeners,
            notify,
            drains,
            exits=exits,
            relays=relays,
            log=log,
        )
        self._events = KeeperEvents(
            keeper,
            membership,
            adoption=self._adoption,
            exits=exits,
            relays=relays,
            system_calls=system_calls.SystemCalls(
                self.apps, keeper, self.listeners, log
            ),
            listeners=self.listeners,
            drain_connections=drains,
            log=log,
        )
        interception: Any = mock.Mock()
        interception.try_again.return_value = True
        performer = Performer(
            Launcher(
                HOME,
                keeper,
                self.listeners,
                notify_sockets=notify,
                drain_connections=drains,
                interception=interception,
            ),
            GenerationActions(nothing, self.listeners, evidence, relays),
            instance_actions.InstanceActions(evidence, membership, notify, drains),
        )
        self.new_generations = NewGenerations(self.apps, self.listeners, self.state)
        admissions = Admissions(self.new_generations, self.host)
        renewals: Any = mock.Mock()
        renewals.update.return_value = None
        acceptors: Any = mock.Mock()
        acceptors.update.return_value = False
        self.loop = loop.Loop(
            nothing,
            self.apps,
            self.host,
            keeper=keeper,
            receive=nothing,
            notes=self.notes,
            state=self.state,
            evidence=evidence,
            acceptors=acceptors,
            exits=exits,
            performer=performer,
            operations=Operations(HOME, admissions, self.state, log),
            renewals=renewals,
            drain_connections=drains,
            log=log,
        )
        self.dispatch = Dispatch(
            self.apps,
            self.host,
            Requests(self.apps, self.host, admissions, self.state),
            nothing,
            home="",
            state=self.state,
            membership=membership,
            drain_connections=drains,
            mechanisms=dict,
            settle=self.loop.settle,
        )

    def _continue(self, living: dict[str, Any]) -> None:
        app = self.apps[APP] = codec.decode(AppRecord, living["app"])
        if living["waiter"] and app.operation is not None:
            app.operation.waiters.append(self.connection.send)
        # What it gave last it does not give again.
        self._keeper._noted = {f"app/{APP}": living["noted"]}
        for name, meta in living["held"].items():
            self.listeners.adopt(name, meta, 0)

    # --- turns --------------------------------------------------------------------------

    def hear(self, event: dict[str, Any]) -> None:
        """Take in an event of the keeper."""
        self._events._pass_on(event, [-1 if "pid" in event else event.get("key", 0)])

    def begin(self) -> None:
        """Take over what the keeper has."""
        for name, meta in list(self._world["held"].items()):
            self.hear_held(name, meta)
        for name, value in list(self._world["notes"].items()):
            self._adoption.noted(name, value)
        for key in list(self._world["children"]):
            for event in worlds.announced(self._world, key):
                self.hear(event)
        self._adoption.complete()
        resume(self.apps, self.host, self.state, self.notes, self.new_generations)
        self._world["outbox"] = worlds.calls(self._world)

    def hear_held(self, name: str, meta: Any) -> None:
        """Take over a descriptor."""
        message = {"name": name, "meta": meta}
        self._adoption.held(message, 0)

    def settle(self) -> None:
        """End the turn: settle, then tell the client."""
        self.loop.settle()
        result = self.connection.result
        if result is not None:
            found = result.get("result") or {}
            self._world["client"] = found.get("outcome", "error")
            self._effects.done()
        self._world["supervisor"] = self.remembered()

    def remembered(self) -> dict[str, Any]:
        """Return what the supervisor knows, so that its next turn can begin with it."""
        app = self.apps.get(APP)
        waits = bool(app and app.operation and app.operation.waiters)
        return {
            "app": codec.encode(app) if app else None,
            "noted": self._keeper._noted.get(f"app/{APP}"),
            "waiter": waits,
            "held": self.listeners.metas(),
        }

    def wake_at(self) -> float | None:
        """Return when the plan wants to be made again."""
        app = self.apps.get(APP)
        if app is None:
            return None
        return plan.plan(Desired(running=app.running), app.observed(NOW)).wake_at


@contextlib.contextmanager
def patched(effects: Effects, now: list[float]) -> Iterator[None]:
    """Replace clocks, files, signals and /proc."""
    world = effects.world

    def signal_leader(instance: InstanceRecord, number: int) -> bool:
        child = world["children"].get(instance.key)
        if child is not None and child["state"] == "alive":
            child["signal"] = max(child["signal"], 2 if number == 9 else 1)
        effects.done()
        return True

    def end_tree(pid: int) -> None:
        for key, child in world["children"].items():
            if worlds.pid_of(key) == pid and child["state"] == "alive":
                child["signal"] = 2
        effects.done()

    def write_json(path: str, value: Any) -> None:
        if path == "state":
            world["disk"] = value
            effects.done()

    class Sock:
        """Stands for a program's socket: the key of its instance."""

        def __init__(self, fileno: str) -> None:
            self.key = fileno

        def __enter__(self) -> Sock:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    replaced = [
        (clock, "monotonic", lambda: now[0]),
        (clock, "wall", lambda: 0.0),
        (processes, "snapshot", dict),
        (instance_actions, "signal_leader", signal_leader),
        (adoption, "end_tree", end_tree),
        (files, "write_json", write_json),
        (files, "read_json", lambda _: world["disk"]),
        (system_calls, "socket", types.SimpleNamespace(socket=Sock)),
        (ending, "CHECK_S", 1.0),
        (loop, "CHECK_S", 1.0),
        (lead_time, "CHECK_S", 1.0),
        (recycle, "CHECK_S", 1.0),
    ]
    with contextlib.ExitStack() as stack:
        for module, name, value in replaced:
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def request(op: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what the client asks for."""
    return {"op": op, "app": APP, "token": TOKEN, "spec": wanted}
