"""Listening sockets of a world, with the methods of `sockets.listeners.Listeners`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.sockets.listener import Listener
from rig.model.world import GROUP, Effects


class FakeListeners:
    """One group; which of its sockets takes connections is in the world."""

    def __init__(self, effects: Effects, keeper: KeeperConnection) -> None:
        self._effects, self._world, self._keeper = effects, effects.world, keeper
        self.by_name: dict[str, Listener] = {}
        self.groups = SimpleNamespace(
            takes_connections=self._takes_connections,
            has_its_part=self._takes_connections,
            take_parts=lambda *_: None,
            adopt=lambda _: None,
        )

    def bind(
        self, app: str, generation: int, _: str, __: int, sock: Any, **more: Any
    ) -> str:
        """Bind a program's socket, or name the one to inject."""
        assert more["seat"] is None
        name = f"socket/{app}/{generation}/{GROUP}"
        child = self._world["children"][sock.key]
        if name in self.by_name:
            return "" if child["socket"] == name else name
        if child["socket"] != name:
            child["socket"] = name
            self._world["sockets"][name] = {"listening": False}
            self._effects.done()
        self.by_name[name] = self._listener(app, generation, name)
        self._hold(self.by_name[name])
        return ""

    def listen(self, listener: Listener) -> None:
        """Let a socket listen."""
        if listener.listening:
            return
        self._world["sockets"][listener.name]["listening"] = listener.listening = True
        if self._world["steered"] is None:
            self._world["steered"] = listener.name
        self._effects.done()
        self._hold(listener)

    def by_inode(self, app: str, generation: int, sock: Any) -> Listener | None:
        """Return the socket that a program has."""
        name = self._world["children"][sock.key]["socket"]
        own = {each.name: each for each in self.of(app, generation)}
        return own.get(name)

    def inodes(self, _: str, __: int) -> set[int]:
        """Return none: no process holds any."""
        return set()

    def of(self, app: str, generation: int) -> list[Listener]:
        """Return the sockets of a generation."""
        return [
            each
            for each in self.by_name.values()
            if (each.app, each.generation) == (app, generation)
        ]

    def of_app(self, app: str) -> list[Listener]:
        """Return the sockets of an app."""
        return [each for each in self.by_name.values() if each.app == app]

    def steer(self, app: str, generation: int) -> None:
        """Send new connections to a generation."""
        for listener in self.of(app, generation):
            if listener.listening:
                self.steer_one(listener)

    def steer_one(self, listener: Listener) -> int:
        """Send new connections to a socket."""
        self._world["steered"] = listener.name
        self._effects.done()
        return listener.generation

    def drop(self, *_: Any) -> None:
        """Do nothing: there is one address."""

    def _takes_connections(self, listener: Listener) -> bool:
        """Return whether new connections come to a socket."""
        return bool(self._world["steered"] == listener.name)

    def quiesce(self, app: str, generation: int, *, for_good: bool = False) -> None:
        """Do nothing: connections are not in the model."""

    resume = reopen = quiesce

    def leave(self, listener: Listener) -> None:
        """Let the keeper close a socket."""
        listener.leaving = True
        self._keeper.release(listener.name)

    def left(self, name: str) -> None:
        """Close a socket that the keeper has closed."""
        if self.by_name.pop(name, None) is None:
            return
        self._world["sockets"].pop(name, None)
        if self._world["steered"] == name:
            listening = [each.name for each in self.by_name.values() if each.listening]
            self._world["steered"] = next(iter(listening), None)
        self._effects.done()

    def adopt(self, name: str, meta: Any, _: Any) -> None:
        """Take a socket over that the keeper holds."""
        listener = self._listener(meta["app"], meta["generation"], name)
        listener.listening = self._world["sockets"][name]["listening"]
        self.by_name[name] = listener

    def metas(self) -> dict[str, Any]:
        """Return what `adopt` needs of each socket."""
        return {name: _meta(each) for name, each in self.by_name.items()}

    def _hold(self, listener: Listener) -> None:
        self._keeper.hold(listener.name, _meta(listener), 0)

    def _listener(self, app: str, generation: int, name: str) -> Listener:
        nothing: Any = None
        return Listener(
            name=name,
            app=app,
            generation=generation,
            address=GROUP,
            group=GROUP,
            sock=nothing,
        )


def _meta(listener: Listener) -> dict[str, Any]:
    return {"app": listener.app, "generation": listener.generation}
