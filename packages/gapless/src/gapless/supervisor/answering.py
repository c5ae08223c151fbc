"""What faces may ask, and who answers.  The protocol is in spec/control.md."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import gapless
from gapless.base.errors import MisuseError, NotFoundError
from gapless.supervisor import processes
from gapless.supervisor.control import Conversation

if TYPE_CHECKING:
    from gapless.supervisor.loop import Supervisor

LONGEST_LEAD_S = 3600
_WHILE_LEAVING = ("ping", "list", "describe")


class Answering:
    """Leads each request to who can answer it."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def serve(self, request: dict[str, Any], conversation: Conversation) -> None:
        """Do what a face asks for.  Raises GaplessError."""
        supervisor = self._supervisor
        requests = supervisor.requests
        op = request.get("op")
        if supervisor.shutting_down and op not in _WHILE_LEAVING:
            raise MisuseError("the supervisor is shutting down")
        match op:
            case "ping":
                conversation.tell({"result": self._self()}, last=True)
            case "list":
                supervisor.speakers.ask(lambda: self._list(conversation))
            case "describe":
                app = requests.app(request.get("app"))
                supervisor.speakers.ask(
                    lambda: conversation.tell(
                        {"result": supervisor.view.details(app)}, last=True
                    )
                )
            case "drain" | "undrain":
                supervisor.lead_s = _lead_s(request)
                supervisor.draining = op == "drain"
                supervisor.save()
                supervisor.settle()  # so that what is listed next has the order in it
                supervisor.speakers.ask(lambda: self._list(conversation))
            case "start":
                requests.start(request, conversation)
            case "register":
                requests.register(request)
                conversation.tell({"result": {"registered": True}}, last=True)
            case "reset":
                requests.reset(request)
                conversation.tell({"result": {"reset": True}}, last=True)
            case "reload" | "restart":
                requests.reload(request, conversation)
            case "permit":
                permitted = requests.permit(request)
                conversation.tell({"result": {"permitted": permitted}}, last=True)
            case "scale":
                requests.scale(request, conversation)
            case "stop" | "delete":
                requests.stop(request, conversation)
            case "follow":
                self._follow(request, conversation)
            case "signal":
                app, number = requests.signal(request)
                sent = supervisor.hearing.signal_leaders(app, number)
                conversation.tell({"result": {"signalled": sent}}, last=True)
            case "shutdown":
                supervisor.shutting_down, supervisor.leaving = True, conversation
                supervisor.save()
            case other:
                raise MisuseError(f"there is no request {other!r}")

    def _list(self, conversation: Conversation) -> None:
        table = processes.snapshot()
        apps = self._supervisor.apps.values()
        rows = [self._supervisor.view.entry(app, table) for app in apps]
        result = {"apps": rows, "supervisor": self._self()}
        conversation.tell({"result": result}, last=True)

    def _follow(self, request: dict[str, Any], conversation: Conversation) -> None:
        """Go on telling about an operation whose supervisor died meanwhile."""
        app = self._supervisor.apps.get(str(request.get("app")))
        token = request.get("token")
        for operation in (app.waiting, app.operation) if app else ():
            if operation is not None and operation.token == token:
                operation.waiters.append(conversation.tell)
                return
        report = app.last_report if app else None
        if report is None or report.get("token") != token:
            raise NotFoundError("that was never asked for")
        conversation.tell({"result": report}, last=True)

    def _self(self) -> dict[str, Any]:
        supervisor = self._supervisor
        return {
            "pid": os.getpid(),
            "keeper_pid": supervisor.hearing.keeper_pid,
            "version": gapless.__version__,
            "home": supervisor.home.path,
            "draining": supervisor.draining,
            "mechanisms": supervisor.mechanisms,
        }


def _lead_s(request: dict[str, Any]) -> float | None:
    """Return for how long balancers are told before a host refuses.

    Raises MisuseError.
    """
    lead_s = request.get("lead_s")
    if lead_s is None:
        return None
    if not isinstance(lead_s, int | float) or not 0 <= lead_s <= LONGEST_LEAD_S:
        raise MisuseError(f"lead_s is {lead_s!r}: a number from 0 to {LONGEST_LEAD_S}")
    return lead_s
