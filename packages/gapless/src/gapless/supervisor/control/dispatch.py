"""What clients may request, and what answers it.  The protocol is in spec/control.md."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import gapless
from gapless.base import codec
from gapless.base.errors import MisuseError, NotFoundError
from gapless.supervisor.act.signals import signal_leaders
from gapless.supervisor.control import fields, view
from gapless.supervisor.control.control_connection import ControlConnection
from gapless.supervisor.control.request import Request
from gapless.supervisor.control.requests import Requests
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.messages import Messages
from gapless.supervisor.instances.notify_sockets import NotifySockets
from gapless.supervisor.memory.apps import Apps
from gapless.supervisor.memory.state import HostRecord, StateFile
from gapless.supervisor.observe.membership import Membership

_WHILE_SHUTTING_DOWN = ("ping", "list", "describe", "follow", "shutdown")


class Dispatch:
    """Passes each request to the part that answers it."""

    def __init__(
        self,
        apps: Apps,
        host: HostRecord,
        requests: Requests,
        shown: view.View,
        *,
        home: str,
        state: StateFile,
        membership: Membership,
        drain_connections: DrainConnections,
        notify_sockets: NotifySockets,
        messages: Messages,
        keeper_silent_s: Callable[[], float],
        mechanisms: Callable[[], dict[str, Any]],
        settle: Callable[[], None],
        started_by: str,
        upgrade: Callable[[Request, ControlConnection], None],
        about: Callable[[], dict[str, Any]],
    ) -> None:
        """Use *upgrade* for a request of that; *about* tells more of this process."""
        self._apps, self._host = apps, host
        self._requests, self._view = requests, shown
        self._home, self._state, self._membership = home, state, membership
        self._drain_connections = drain_connections
        self._notify_sockets, self._messages = notify_sockets, messages
        self._keeper_silent_s = keeper_silent_s
        self._mechanisms, self._settle = mechanisms, settle
        self.started_by = started_by
        self._upgrade, self._about = upgrade, about
        self.shutdown_waiters: list[ControlConnection] = []
        """The clients that wait for the end of everything."""

    def serve(self, request: Request, connection: ControlConnection) -> None:
        """Do what a client requests.  Raises GaplessError."""
        requests = self._requests
        op = request.op
        if self._host.shutting_down and op not in _WHILE_SHUTTING_DOWN:
            raise MisuseError(
                "a shutdown is under way",
                hint="gapless list shows what still finishes; ask again when that is over",
            )
        match op:
            case "ping":
                _answer(connection, self._self())
            case "list":
                if request.only:
                    _answer(connection, {"apps": self._known(request)})
                else:
                    self._list(connection)
            case "describe":
                app = self._apps.named(request.app)
                if request.only == "spec":
                    _answer(connection, {"spec": codec.encode(app.spec)})
                    return
                self._drain_connections.ask(
                    lambda: connection.answer(lambda: self._view.details(app))
                )
            case "drain" | "undrain":
                self._host.lead_s = request.lead_s
                self._host.draining = op == "drain"
                self._state.save()
                self._settle()  # so that the list that follows shows the drain
                self._list(connection)
            case "start":
                requests.start(request, connection)
            case "register" | "reset" | "permit" | "settle":
                _answer(connection, self._change(request))
            case "reload" | "restart":
                requests.reload(request, connection)
            case "scale":
                requests.scale(request, connection)
            case "stop" | "delete":
                requests.stop(request, connection)
            case "follow" | "upgrade":
                (self._follow if op == "follow" else self._upgrade)(request, connection)
            case "signal" | "send" | "messages":
                _answer(connection, self._speak(request))
            case "shutdown":
                for name in self._apps.unread:
                    self._apps.check_read(name)  # nothing would end it
                self._host.shutting_down = True
                self.shutdown_waiters.append(connection)
                self._state.save()
            case other:
                raise MisuseError(f"there is no request {other[:40]!a}")

    def _change(self, request: Request) -> dict[str, Any]:
        """Change what is known at once; return what has come of it."""
        match request.op:
            case "register":
                return {"registered": self._requests.register(request)}
            case "reset":
                self._requests.reset(request)
                return {"reset": True}
            case "permit":
                return {"permitted": self._requests.permit(request)}
            case _:
                return {"settled": self._requests.settle(request)}

    def _speak(self, request: Request) -> dict[str, Any]:
        """Send a signal or a message to programs, or tell what they have sent."""
        if request.op == "signal":
            app, number = self._requests.signal(request)
            return {"signalled": signal_leaders(app, number, request.ids)}
        if request.op == "send":
            return {"sent": self._send(request)}
        heard = self._messages.heard
        return {"last": heard.last, "messages": heard.since(request.number)}

    def _send(self, request: Request) -> list[int]:
        """Send a message to instances; return the ids of those that took it."""
        app = self._apps.named(request.app)
        line = fields.line_of(request.message, app.name)
        found = []
        for instance in (i for g in app.generations for i in g.instances):
            identity = app.ids[instance.ordinal]
            is_meant = request.ids is None or identity in request.ids
            if is_meant and self._notify_sockets.send(instance.key, line):
                found.append(identity)
        return sorted(set(found))

    def _known(self, request: Request) -> list[dict[str, Any]]:
        """Return what is known of apps without a look at their processes."""
        wanted = self._apps if request.apps is None else request.apps
        found = [self._apps[name] for name in wanted if name in self._apps]
        with_spec = request.only == "specs"
        return [
            view.identity(app) | ({"spec": codec.encode(app.spec)} if with_spec else {})
            for app in found
        ]

    def _list(self, connection: ControlConnection) -> None:
        def found() -> dict[str, Any]:
            rows = self._view.entries(self._apps)
            return {"apps": rows, "supervisor": self._self()}

        self._drain_connections.ask(lambda: connection.answer(found))

    def _follow(self, request: Request, connection: ControlConnection) -> None:
        """Go on reporting an operation whose supervisor died meanwhile."""
        app = self._apps.get(request.app or "")
        token = request.token
        for operation in (app.waiting, app.operation) if app else ():
            if operation is not None and token in (operation.token, *operation.joined):
                operation.follow(connection.send)
                return
        last = app.last_report if app else None
        for report in (last, *self._host.outcomes):
            if report is not None and report.get("token") == token:
                _answer(connection, report)
                return
        raise NotFoundError("that was never requested")

    def _self(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "keeper_pid": self._membership.keeper_pid,
            "keeper_silent_s": round(self._keeper_silent_s(), 3),
            "guardian_pid": self._membership.guardian_pid,
            "version": gapless.__version__,
            "home": self._home,
            "started_by": self.started_by,
            **self._about(),
            "draining": self._host.draining,
            "unread": self._apps.unread,
            "mechanisms": self._mechanisms(),
        }


def _answer(connection: ControlConnection, result: dict[str, Any]) -> None:
    connection.send({"result": result}, last=True)
