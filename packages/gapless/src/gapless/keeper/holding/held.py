"""What the keeper holds for the supervisor: descriptors and notes, by name."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from typing import Any

from gapless.keeper.guardian.reserve import Reserve
from gapless.keeper.supervisor_connection import SupervisorConnection

HELD, NOTE = "held/", "note/"
"""How the names begin by which both are kept: the value is the message that came."""


class Held:
    """Descriptors and notes that outlive a supervisor; the keeper does not read them."""

    def __init__(
        self,
        connection: SupervisorConnection,
        reserve: Reserve,
        *,
        on_hold: Callable[[str, int], None],
        on_release: Callable[[str], None],
    ) -> None:
        """Call *on_hold* after a descriptor is held, *on_release* before it is closed.

        One that takes the place of another of its name is only held.
        """
        self._connection, self._reserve = connection, reserve
        self._on_hold, self._on_release = on_hold, on_release
        self.descriptors: dict[str, int] = {}
        self._metas: dict[str, Any] = {}
        """What the supervisor sent with each descriptor."""
        self.paths: frozenset[str] = frozenset()
        """The Unix-domain paths of the sockets that are held."""
        self._port_of: dict[str, int] = {}
        self.ports: frozenset[int] = frozenset()
        """Their TCP ports."""

    def recover(self) -> None:
        """Hold what a keeper before this one held."""
        for name, kept in self._reserve.named(HELD).items():
            if kept.descriptors:
                self.descriptors[name] = kept.descriptors[0]
                self._metas[name] = json.loads(kept.value).get("meta")
                self._note_port(name, kept.descriptors[0])
                self._on_hold(name, kept.descriptors[0])
        self._collect_paths()

    def hold(self, name: str, meta: Any, descriptor: int, encoded: bytes) -> None:
        """Hold a copy of a descriptor, in the place of an earlier one of that name.

        Raises OSError; the earlier one is held then.
        """
        copy = os.dup(descriptor)
        before = self.descriptors.get(name)
        had_paths = _paths_of(self._metas.get(name))
        self.descriptors[name], self._metas[name] = copy, meta
        self._reserve.put(f"{HELD}{name}", encoded, copy)
        self._note_port(name, copy)
        self._on_hold(name, copy)
        if before is not None:
            self._connection.close_descriptor(before)
        if had_paths or _paths_of(meta):
            self._collect_paths()

    def release(self, name: str) -> None:
        """Close a descriptor that is held, if it is, also where a copy is kept."""
        if name in self.descriptors:
            self._on_release(name)
            self._note_port(name, -1)
            if _paths_of(self._metas.pop(name)):
                self._collect_paths()
            self._connection.close_descriptor(self.descriptors.pop(name))
            self._reserve.drop_now(f"{HELD}{name}")

    def _collect_paths(self) -> None:
        found = (path for meta in self._metas.values() for path in _paths_of(meta))
        self.paths = frozenset(found)

    def _note_port(self, name: str, descriptor: int) -> None:
        port, before = _port_of(descriptor), self._port_of.get(name, 0)
        if port != before:
            self._port_of[name] = port
            self.ports = frozenset(self._port_of.values()) - {0}
        if not port:
            self._port_of.pop(name, None)

    def note(self, name: str, value: Any, encoded: bytes) -> None:
        """Remember a value; None forgets it."""
        if value is None:
            self._reserve.drop(f"{NOTE}{name}")
        else:
            self._reserve.put(f"{NOTE}{name}", encoded)

    def announce_all(self) -> None:
        """Send a new supervisor every descriptor and every note."""
        for name, descriptor in self.descriptors.items():
            message = {"event": "held", "name": name, "meta": self._metas[name]}
            self._connection.send(message, descriptor)
        for name, kept in self._reserve.named(NOTE).items():
            value = json.loads(kept.value).get("value")
            self._connection.send({"event": "note", "name": name, "value": value})


def _paths_of(meta: Any) -> list[str]:
    """Return the names of a socket in the file system, as its meta tells them."""
    if not isinstance(meta, dict):
        return []
    named = (meta.get("path"), meta.get("beside"))
    return [each for each in named if isinstance(each, str) and each]


def _port_of(descriptor: int) -> int:
    """Return the port that a TCP socket is bound to; 0 for another descriptor."""
    if descriptor < 0:
        return 0
    copy = -1
    try:
        copy = os.dup(descriptor)
        with socket.socket(fileno=copy) as sock:
            copy = -1
            internet = sock.family in (socket.AF_INET, socket.AF_INET6)
            if not internet or sock.type != socket.SOCK_STREAM:
                return 0
            return int(sock.getsockname()[1])
    except OSError:
        return 0  # it is no socket, or this process is out of descriptors
    finally:
        if copy >= 0:
            os.close(copy)
