"""Answer connections by which instances ask whether somebody is at an address already.

Rule 1: to an instance that starts and has not bound an address of its app yet, nobody is
there: a program that asks before it binds would not start beside another generation.
Rule 2: nobody else is denied.  A connection to another app, to another host, or of an
instance that asks on proceeds: that one is a client.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from dataclasses import dataclass, field

from gapless.base import wire
from gapless.supervisor.decide.addresses import DATAGRAMS, is_wild, reaches
from gapless.supervisor.memory.apps import AppRecord, Apps, Found
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Phase
from gapless.supervisor.sockets.addresses import address_text
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.path_calls import PathCalls

MOST_ASKS = 2
"""So often an instance is told that nobody is at an address: before it binds it."""
MOST_ADDRESSES = 64
"""At so many addresses an instance may ask: 127.0.0.0/8 has millions."""
_DISCARD = 9


@dataclass(slots=True)
class _Asked:
    """What an instance that starts has asked."""

    times: Counter[str] = field(default_factory=Counter)
    """How often, by the address."""
    denied: set[int] = field(default_factory=set)
    """The calls that were denied: a keeper that follows one that died tells them again."""


class ConnectCalls:
    """Tells programs that ask before they bind, from clients."""

    def __init__(
        self,
        apps: Apps,
        keeper: KeeperConnection,
        listeners: Listeners,
        paths: PathCalls,
    ) -> None:
        self._apps, self._keeper = apps, keeper
        self._listeners, self._paths = listeners, paths
        self._asked: dict[str, _Asked] = {}
        """By the key of the instance."""

    def connect(self, message: wire.Message) -> None:
        """Refuse a connection by which a program asks; let another one proceed."""
        key, call = message["key"], message["id"]
        found = self._apps.find(key)
        if found is not None and self._asks_before_bind(found, message):
            self._keeper.answer(key, call, "fail", errno=errno.ECONNREFUSED)
            return
        self._keeper.answer(key, call, "proceed")

    def _asks_before_bind(self, found: Found, message: wire.Message) -> bool:
        app, generation, instance = found
        if instance.phase is not Phase.STARTING:
            return False
        if "path" in message:
            path = str(message["path"])
            if f"unix:{path}" in instance.bound:
                return False
            is_own = self._paths.is_name_of(app, path)
            return is_own and self._may_ask(instance, path, message["id"])
        host, port = str(message["host"]), int(message["port"])
        if _has_bound(instance, port) or not self._is_at(
            app, host, port, generation.spec.share_ports
        ):
            return False
        return self._may_ask(instance, address_text(host, port), message["id"])

    def _is_at(self, app: AppRecord, host: str, port: int, shared_as: str) -> bool:
        """Return whether a connection comes to an app, or one that shares its ports."""
        groups = [
            each.group
            for each in self._listeners.by_name.values()
            if (each.app == app.name or (shared_as and each.shared_as == shared_as))
            and each.tcp_port == port
            and reaches(each.group, host, port)
        ]
        if not groups:
            return False
        return not all(map(is_wild, groups)) or is_of_this_host(host)

    def _may_ask(self, instance: InstanceRecord, address: str, call: int) -> bool:
        if instance.key not in self._asked:
            live = [key for key in self._asked if self._apps.find(key) is not None]
            self._asked = {key: self._asked[key] for key in live}
        asked = self._asked.setdefault(instance.key, _Asked())
        if call in asked.denied:
            return True
        if address not in asked.times and len(asked.times) >= MOST_ADDRESSES:
            return False
        asked.times[address] += 1
        if asked.times[address] > MOST_ASKS:
            return False
        asked.denied.add(call)
        return True


def _has_bound(instance: InstanceRecord, port: int) -> bool:
    tcp = [each for each in instance.bound if not each.startswith((DATAGRAMS, "unix:"))]
    return any(each.rpartition(":")[2] == str(port) for each in tcp)


def is_of_this_host(host: str) -> bool:
    """Return whether an address is one of this host: it is reached from itself (ip(7)).

    Nothing is sent: that is only what the routes say.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asks:
            asks.connect((host, _DISCARD))
            own, other = asks.getsockname()[0], asks.getpeername()[0]
    except OSError:
        return False
    loopback = other.removeprefix("::ffff:").startswith("127.")
    return bool(own == other) or loopback
