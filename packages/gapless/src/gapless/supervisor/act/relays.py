"""Start relays, and note when they end."""

from __future__ import annotations

from gapless.base import interpreter
from gapless.base.names import Home
from gapless.supervisor.act.log_settings import log_settings
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.parts import ttl_of

DESCRIPTOR = 3


class Relays:
    """The relays of this host."""

    def __init__(self, home: Home, apps: Apps, keeper: KeeperConnection) -> None:
        self._home, self._apps, self._keeper = home, apps, keeper
        self._running: dict[str, tuple[str, int]] = {}
        """By its key: the app and the generation that a relay is for."""
        self._pids: dict[str, int] = {}

    def start(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        listener: Listener,
        quiet_s: float,
        *,
        by_source: bool = False,
        most: int = 0,
    ) -> None:
        """Start a relay that serves the connections in the queue of *listener*.

        If they go on *by_source*, each comes to the seat of its client.  If programs may
        accept from the socket too, *most* says how many to take; none of those that come
        later is taken then.
        """
        app.last_serial += 1
        key = f"relay {listener.name}/{app.last_serial}"
        options = ["--fd", str(DESCRIPTOR), "--until-quiet", f"{quiet_s:g}"]
        options += ["--deadline", f"{generation.spec.stop.drain_timeout_s:g}"]
        if listener.place is not None:
            options += ["--path", listener.place.path]
        if most:
            options += ["--most", str(most)]
        if listener.shared_as:
            options += ["--ttl", str(ttl_of(listener.number))]
        if by_source:
            options += ["--by-source", "1"]
        message = {
            "key": key,
            "meta": {"relay": [app.name, generation.number]},
            "argv": interpreter.python("gapless.supervisor.relay.queue", options),
            "environment": {},
            "directory": "/",
            "filtered": False,
            "log": log_settings(
                spec.AppSpec(name=app.name, command=(), directory="/"),
                self._home.own_log,
                generation=generation.number,
                ordinal=0,
                identity=0,
            ),
        }
        self._keeper.spawn(message, {DESCRIPTOR: listener.sock})
        self.started(key, app.name, generation.number)  # or it is refused: it ends then

    @property
    def pids(self) -> list[int]:
        """The processes of the relays that run."""
        return list(self._pids.values())

    def started(self, key: str, app: str, generation: int, pid: int = 0) -> None:
        """Note a relay that the keeper starts, and its process once that is known."""
        self._running[key] = (app, generation)
        if pid:
            self._pids[key] = pid

    def is_running(self, app: AppRecord, generation: GenerationRecord) -> bool:
        """Return whether a relay runs for a generation."""
        return (app.name, generation.number) in self._running.values()

    def ended(self, key: str) -> bool:
        """Note that a process has ended; return whether it was a relay."""
        if key not in self._running:
            return False
        name, number = self._running.pop(key)
        self._pids.pop(key, None)
        self._keeper.forget(key)
        app = self._apps.get(name)
        if app is None or (name, number) in self._running.values():
            return True
        self._apps.touch(name)
        for generation in app.generations:
            if generation.number == number:
                generation.relayed = False
        return True
