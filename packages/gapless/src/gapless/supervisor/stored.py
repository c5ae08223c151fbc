"""What `list` and `describe` show where no supervisor runs: the apps of the state, stopped.

The same view as a supervisor's, of records in which nothing runs.
"""

from __future__ import annotations

import selectors
import socket
from typing import Any

from gapless.base import events, wire
from gapless.base.names import Home
from gapless.supervisor.control.view import View
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.messages import Messages
from gapless.supervisor.memory.apps import Apps
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.state import HostRecord, StateFile
from gapless.supervisor.observe.app_order import AppOrder
from gapless.supervisor.observe.evidence import Evidence
from gapless.supervisor.observe.instance_groups import InstanceGroups
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.sockets.listeners import Listeners


class Stored:
    """The apps of a home in which no supervisor runs."""

    def __init__(self, path: str) -> None:
        """Read the state.  Raises UnavailableError."""
        self._home, self._apps = Home(path), Apps()
        self._log = log = events.Log(self._home.own_log)
        self._state = StateFile(self._home.state, self._apps, HostRecord(), log).load()
        for name, asked in self._state.apps.items():
            app = self._apps[name] = asked.record(name)
            self._apps.allot_ids(app, app.spec.instances)

    def list(self) -> dict[str, Any]:
        """Return the rows that a supervisor would show; there is none."""
        apps = self._with_view(lambda view: view.entries(self._apps))
        return {"apps": apps, "supervisor": None}

    def describe(self, name: str) -> dict[str, Any]:
        """Return what a supervisor would answer.  Raises NotFoundError."""
        app = self._apps.named(name)
        found: dict[str, Any] = self._with_view(lambda view: view.details(app))
        return found

    def _with_view(self, show: Any) -> Any:
        """Return what *show* finds with a view that has no keeper to ask."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with near, far, selectors.DefaultSelector() as selector:
            keeper = KeeperConnection(wire.Channel(near))
            membership = Membership(InstanceGroups(None, self._log))
            listeners = Listeners(keeper)
            messages = Messages(self._apps, membership)
            drain_connections = DrainConnections(
                selector,
                keeper,
                messages.belongs,
                messages.counted,
                home=self._home,
                is_ours=lambda: False,
            )
            evidence = Evidence(
                listeners, membership, drain_connections.pids, self._log
            )
            return show(
                View(
                    self._home,
                    listeners,
                    evidence,
                    membership,
                    drain_connections,
                    app_order=AppOrder(self._apps, HostRecord()),
                )
            )
