"""The supervisor of a world: its own code, with everything that does I/O replaced.

Real are the loop, the plan, every action, exits, adoption, requests, operations, notes and
state.  Replaced are sockets, signals, /proc, files and clocks.
"""

from __future__ import annotations

import contextlib
import json
import types
from collections.abc import Iterator
from typing import Any, Self

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
from gapless.supervisor.control.request import Request
from gapless.supervisor.control.requests import Requests
from gapless.supervisor.decide import ending, lead_time, plan, recycle
from gapless.supervisor.decide.files import comparison
from gapless.supervisor.instances.background import Background
from gapless.supervisor.instances.exits import Exits
from gapless.supervisor.keeper_events import KeeperEvents
from gapless.supervisor.kernel import controllers, processes
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Desired
from gapless.supervisor.memory.notes import VERSION, Notes
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.memory.state import HostRecord, StateFile
from gapless.supervisor.observe.app_order import AppOrder
from gapless.supervisor.resume import resume
from gapless.supervisor.sockets import system_calls
from gapless.supervisor.sockets.seats import SeatSockets
from gapless.supervisor.unit import Unit
from rig.model import world as worlds
from rig.model.listeners import FakeListeners
from rig.model.world import APP, NOW, Effects

HOME = Home("/proc/no-such-home")
INCARNATION = "keeper"


class Nothing:
    """Has every method; none does anything."""

    def __init__(self, **results: Any) -> None:
        self.__dict__.update(results)

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


class FakeLog(events.Log):
    """Writes nothing."""

    def write(self, event: str, **fields: Any) -> None:
        """Write nothing."""


class FakeKeeperConnection(KeeperConnection):
    """Sends into the keeper's inbox."""

    def __init__(self, effects: Effects) -> None:
        nothing: Any = Nothing()
        super().__init__(nothing)
        self._effects = effects
        self.incarnation = INCARNATION

    def _send(self, message: Any, _: tuple[int, ...] = ()) -> None:
        world = self._effects.world
        sent = {key: message[key] for key in message if key in _KEPT}
        world["inbox"].append(sent)
        worlds.take(world)
        self._effects.done()

    def gave(self, notes: dict[str, Any]) -> None:
        """Remember what it was given last: that is not given again."""
        self._noted = notes

    def flush_in(self, selector: Any, receive: Any) -> None:
        """Keep nothing back."""


_KEPT = ("op", "name", "meta", "value", "key", "id", "action", "held")


class FakeNotes(Notes):
    """Writes to the keeper only."""

    def _write_file(self, *_: Any) -> bool:
        return True

    def read_file(self, _: str) -> AppRecord | None:
        """Return nothing: there is no file."""
        return None


class FakeNotifySockets:
    """Knows only which there are."""

    def __init__(self, keeper: KeeperConnection, keys: set[str]) -> None:
        self._keeper, self._keys = keeper, keys

    def open_notify(self, key: str, _: int) -> str:
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

    def why_unavailable(self) -> str:
        """Return nothing: it sees."""
        return ""

    def watches(self, _: AppRecord) -> bool:
        """Return no: nothing is looked at."""
        return False

    def begin_turn(self) -> None:
        """Read nothing."""

    def end_turn(self) -> None:
        """Read nothing."""

    def update(self, app: AppRecord, **_: bool) -> None:
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

    def note_handshakes(self, _: AppRecord, __: GenerationRecord) -> None:
        """Note none."""

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
        self._effects, self.world = effects, world
        self.apps, self.host = Apps(), HostRecord()
        self.connection = Connection()
        log = FakeLog("")
        self._keeper = keeper = FakeKeeperConnection(effects)
        self.state = StateFile("state", self.apps, self.host, log)
        self.notes = FakeNotes(HOME, keeper, log, is_ours=lambda: True)
        fakes = FakeListeners(effects, keeper)
        listeners: Any = fakes
        self.fakes = fakes
        living = world["supervisor"]
        if living is not None and living["app"] is not None:
            self._continue(living)
        keys = {i.key for app in self.apps.values() for i in app.instances()}
        notify: Any = FakeNotifySockets(keeper, keys)
        drains: Any = Nothing(address="")
        membership: Any = Nothing(
            keeper_pid=1,
            members=lambda *_, **__: {},
            left_behind=lambda *_: {},
            saw=lambda *_: None,
            count=lambda _, instance: int(instance.leader_alive),
            memory_events=lambda _: controllers.MemoryEvents(),
        )
        evidence: Any = FakeEvidence()
        relays: Any = Nothing(is_running=lambda *_: False, ended=lambda _: False)
        groups: Any = Nothing(
            make=lambda _: "", adopt=lambda _: "", limit=lambda *_: ""
        )
        closed: Any = Nothing(beside=lambda *_: [])
        nothing: Any = Nothing()
        survivors: Any = Nothing(find=dict, taken=set())
        exits = Exits(self.apps, keeper, membership, notify, drains, log=log)
        background = Background(
            self.apps, keeper, membership, listeners, exits, log=log
        )
        takeovers: Any = Nothing(ended=lambda _: False)
        self._adoption = adoption.Adoption(
            self.apps,
            keeper,
            listeners,
            notify,
            drains,
            exits=exits,
            relays=relays,
            takeovers=takeovers,
            instance_groups=groups,
            survivors=survivors,
            log=log,
        )
        self._events = KeeperEvents(
            keeper,
            membership,
            adoption=self._adoption,
            background=background,
            relays=relays,
            takeovers=takeovers,
            system_calls=system_calls.SystemCalls(
                self.apps,
                keeper,
                listeners,
                membership.saw,
                log=log,
                lost_address=lambda *_: None,
                inodes_of=lambda _: frozenset(),
                closed=closed,
            ),
            listeners=listeners,
            drain_connections=drains,
            notify_sockets=notify,
            apps=self.apps,
            log=log,
        )
        interception: Any = Nothing(try_again=lambda: True)
        performer = Performer(
            Launcher(
                HOME,
                keeper,
                listeners,
                notify_sockets=notify,
                drain_connections=drains,
                instance_groups=groups,
                interception=interception,
            ),
            GenerationActions(
                nothing,
                self.apps,
                listeners,
                evidence,
                relays=relays,
                membership=membership,
            ),
            instance_actions.InstanceActions(
                evidence, membership, notify, drains, closed
            ),
            takeovers,
            SeatSockets(listeners, relays, self.apps.touch),
        )
        app_order = AppOrder(self.apps, self.host)
        self.new_generations = NewGenerations(
            self.apps, listeners, self.state, app_order, lambda _: frozenset()
        )
        admissions = Admissions(
            *(HOME, self.state, self.new_generations, self.host),
            evidence=evidence,
            listeners=listeners,
            log=log,
        )
        acceptors: Any = Nothing(update=lambda *_: False)
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
            background=background,
            performer=performer,
            takeovers=takeovers,
            new_generations=self.new_generations,
            app_order=app_order,
            operations=Operations(admissions),
            renewals=nothing,
            liveness=nothing,
            drain_connections=drains,
            unit=Unit("", 0),
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
            notify_sockets=nothing,
            messages=nothing,
            keeper_silent_s=float,
            mechanisms=dict,
            settle=self.loop.settle,
            started_by="",
            upgrade=nothing,
            about=dict,
        )

    def _continue(self, living: dict[str, Any]) -> None:
        app = self.apps[APP] = codec.decode(AppRecord, living["app"])
        if living["waiter"] and app.operation is not None:
            app.operation.waiters.append(self.connection.send)
        self._keeper.gave({f"app/{APP}": {"version": VERSION, **codec.encode(app)}})
        for name, meta in living["held"].items():
            self.fakes.adopt(name, meta, 0)

    # --- turns --------------------------------------------------------------------------

    def hear(self, event: dict[str, Any]) -> None:
        """Take in an event of the keeper."""
        copy: Any = -1 if "pid" in event else event.get("key", 0)
        self._events._pass_on(event, [copy])  # noqa: SLF001 - closing nothing afterwards

    def begin(self) -> None:
        """Take over what the keeper has."""
        for name, meta in list(self.world["held"].items()):
            self.hear_held(name, meta)
        for name, value in list(self.world["notes"].items()):
            self._adoption.noted(name, value)
        for key in list(self.world["children"]):
            for event in worlds.announced(self.world, key):
                self.hear(event)
        self._adoption.complete()
        resume(self.apps, self.host, self.state, self.notes, self.new_generations)
        self.world["outbox"] = worlds.calls(self.world)

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
            self.world["client"] = found.get("outcome", "error")
            self._effects.done()
        self.world["supervisor"] = self.remembered()

    def remembered(self) -> dict[str, Any]:
        """Return what the supervisor knows, so that its next turn can begin with it."""
        app = self.apps.get(APP)
        waits = bool(app and app.operation and app.operation.waiters)
        return {
            "app": codec.encode(app) if app else None,
            "waiter": waits,
            "held": self.fakes.metas(),
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

    def end_tree(pid: int, _: int) -> None:
        for key, child in world["children"].items():
            if worlds.pid_of(key) == pid and child["state"] == "alive":
                child["signal"] = 2
        effects.done()

    def write(path: str, content: bytes, **_: Any) -> None:
        if path == "state":
            world["disk"] = json.loads(content)
            effects.done()

    class Sock:
        """Stands for a program's socket: the key of its instance."""

        def __init__(self, fileno: str) -> None:
            self.key = fileno

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    replaced = [
        (clock, "monotonic", lambda: now[0]),
        (clock, "wall", lambda: 0.0),
        (processes, "snapshot", dict),
        (instance_actions, "signal_leader", signal_leader),
        (adoption, "end_tree", end_tree),
        (files, "write_atomically", write),
        (files, "read_json", lambda _: world["disk"]),
        (system_calls, "socket", types.SimpleNamespace(socket=Sock)),
        (ending, "CHECK_S", 1.0),
        (loop, "CHECK_S", 1.0),
        (lead_time, "CHECK_S", 1.0),
        (recycle, "CHECK_S", 1.0),
        (comparison, "PAUSE_S", 1e9),  # each look would be another world
    ]
    plain = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    for module, name, value in replaced:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in plain:
            setattr(module, name, value)


def request(op: str, wanted: Any, *, again: bool) -> Request:
    """Return what the client asks for, or how it asks *again* what became of it."""
    spec = codec.decode(AppSpec, wanted)
    return Request(op="follow" if again else op, app=APP, token=op, spec=spec)
