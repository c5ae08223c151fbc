"""The supervisor of one GAPLESS_HOME: its parts, and how it begins and ends."""

from __future__ import annotations

import enum
import os
import selectors
import signal
import socket
from typing import Any

from gapless.base import clock, events, wakeup, wire
from gapless.base.names import Home
from gapless.base.outside import faults
from gapless.keeper import process_title
from gapless.supervisor import succession
from gapless.supervisor.act.generation_actions import GenerationActions
from gapless.supervisor.act.instance_actions import InstanceActions
from gapless.supervisor.act.interception import Interception
from gapless.supervisor.act.launch import Launcher
from gapless.supervisor.act.performer import Performer
from gapless.supervisor.act.relays import Relays
from gapless.supervisor.act.takeovers import Takeovers
from gapless.supervisor.adoption import Adoption
from gapless.supervisor.control.admission import Admissions
from gapless.supervisor.control.control_socket import ControlSocket
from gapless.supervisor.control.dispatch import Dispatch
from gapless.supervisor.control.new_generations import NewGenerations
from gapless.supervisor.control.operations import Operations
from gapless.supervisor.control.requests import Requests
from gapless.supervisor.control.view import View
from gapless.supervisor.instances.background import Background
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.exits import Exits
from gapless.supervisor.instances.messages import Messages
from gapless.supervisor.instances.notify_sockets import NotifySockets
from gapless.supervisor.keeper_events import KeeperEvents
from gapless.supervisor.kernel import controllers
from gapless.supervisor.loop import Loop
from gapless.supervisor.memory.apps import Apps
from gapless.supervisor.memory.home_lock import HomeLock
from gapless.supervisor.memory.keeper_connection import (
    KeeperConnection,
    KeeperLostError,
)
from gapless.supervisor.memory.leftovers import remove_leftovers
from gapless.supervisor.memory.notes import Notes
from gapless.supervisor.memory.state import HostRecord, StateFile
from gapless.supervisor.observe.acceptors import Acceptors
from gapless.supervisor.observe.app_order import AppOrder
from gapless.supervisor.observe.evidence import Evidence
from gapless.supervisor.observe.instance_groups import InstanceGroups
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.renewal.liveness import Liveness
from gapless.supervisor.renewal.renewals import Renewals
from gapless.supervisor.resume import resume
from gapless.supervisor.sockets.closed_sockets import ClosedSockets
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.path_calls import watch_paths
from gapless.supervisor.sockets.seats import SeatSockets
from gapless.supervisor.sockets.system_calls import SystemCalls
from gapless.supervisor.survivors import Survivors
from gapless.supervisor.unit import Unit
from gapless.supervisor.upgrade.inheritance import NOTHING, Inheritance
from gapless.supervisor.upgrade.upgrades import Upgrades

FLUSH_S = 5.0
"""How long the keeper may take to take in what a supervisor that hands over has sent."""


class End(enum.Enum):
    """Why a supervisor has stopped to serve."""

    LEFT = "left"
    SHUT_DOWN = "shut down"
    TAKEN_BACK = "taken back"
    """Its successor could not take over: this process begins anew."""
    KEEPER_LOST = "keeper lost"
    """Keeper and guardian are gone: another supervisor has to find what is left."""


class Supervisor:
    """All apps of one user on one host."""

    def __init__(
        self,
        path: str,
        line: socket.socket,
        lock: int,
        unit: Unit,
        *,
        resume_all: bool,
        started_by: str,
        given: Inheritance = NOTHING,
    ) -> None:
        """Take over what the keeper at the end of *line* holds, and resume the apps.

        *lock* is the descriptor that holds the lock of the home; *given* is what the
        version before hands over.  Raises GaplessError, OSError.
        """
        process_title.set_title("gapless supervise")
        home = Home(path)
        remove_leftovers(home)
        self._log = log = events.Log(home.own_log)
        self._path = path
        self._selector = selector = selectors.DefaultSelector()
        interception = Interception()
        # memory
        self._apps = apps = Apps()
        self._host = host = HostRecord()
        self._keeper = keeper = KeeperConnection(wire.Channel(line))
        self._lock = HomeLock(home.lock, lock)
        self._state = state = StateFile(
            home.state, apps, host, log, is_ours=self._lock.is_ours
        )
        self._notes = notes = Notes(home, keeper, log, is_ours=self._lock.is_ours)
        # sockets, observe, instances
        listeners = Listeners(keeper)
        self._instance_groups = instance_groups = InstanceGroups(path, log)
        membership = Membership(instance_groups)
        messages = Messages(apps, membership)
        notify_sockets = NotifySockets(
            selector, keeper, messages.notified, speaks=messages.speaks, home=home
        )
        drain_connections = DrainConnections(
            selector,
            keeper,
            messages.belongs,
            messages.counted,
            home=home,
            is_ours=self._lock.is_ours,
        )
        evidence = Evidence(listeners, membership, drain_connections.pids, log)
        evidence.why_unavailable()  # it is in the log before anything depends on it
        exits = Exits(
            apps, keeper, membership, notify_sockets, drain_connections, log=log
        )
        background = Background(apps, keeper, membership, listeners, exits, log=log)
        closed = ClosedSockets(
            listeners, membership.socket_inodes, membership.sockets_held
        )
        # act
        relays = Relays(home, apps, keeper)
        takeovers = Takeovers(
            selector,
            home,
            apps,
            keeper,
            membership=membership,
            listeners=listeners,
            log=log,
        )
        launcher = Launcher(
            home,
            keeper,
            listeners,
            notify_sockets=notify_sockets,
            drain_connections=drain_connections,
            instance_groups=instance_groups,
            interception=interception,
        )
        performer = Performer(
            launcher,
            GenerationActions(
                selector,
                apps,
                listeners,
                evidence,
                relays=relays,
                membership=membership,
            ),
            InstanceActions(
                evidence, membership, notify_sockets, drain_connections, closed
            ),
            takeovers,
            SeatSockets(listeners, relays, apps.touch),
        )
        # control, renewal
        app_order = AppOrder(apps, host)
        new_generations = NewGenerations(
            apps, listeners, state, app_order, membership.socket_inodes
        )
        admissions = Admissions(
            *(home, state, new_generations, host),
            evidence=evidence,
            listeners=listeners,
            log=log,
        )
        requests = Requests(apps, host, admissions, state)
        renewals = Renewals(
            selector, apps, requests.renew, membership, log=log, home=path
        )
        liveness = Liveness(selector, apps, listeners, evidence, membership, log=log)
        # the keeper
        notes.sockets_of = lambda name: _sockets_of(name, listeners)
        keeper_events = KeeperEvents(
            keeper,
            membership,
            adoption=Adoption(
                apps,
                keeper,
                listeners,
                notify_sockets,
                drain_connections,
                exits=exits,
                relays=relays,
                takeovers=takeovers,
                instance_groups=instance_groups,
                survivors=Survivors(
                    home, apps, keeper, listeners, membership, notes=notes, log=log
                ),
                log=log,
            ),
            background=background,
            relays=relays,
            takeovers=takeovers,
            system_calls=SystemCalls(
                apps,
                keeper,
                listeners,
                membership.saw,
                log=log,
                lost_address=evidence.note_handshakes,
                inodes_of=membership.socket_inodes,
                closed=closed,
            ),
            listeners=listeners,
            drain_connections=drain_connections,
            notify_sockets=notify_sockets,
            apps=apps,
            log=log,
        )
        keeper_events.adopt_all()
        watch_paths(selector, listeners)
        host.keeper = keeper.incarnation
        selector.register(line, selectors.EVENT_READ, keeper_events.receive)
        self._loop = Loop(
            selector,
            apps,
            host,
            keeper=keeper,
            receive=keeper_events.receive,
            notes=notes,
            state=state,
            evidence=evidence,
            acceptors=Acceptors(listeners, membership),
            exits=exits,
            background=background,
            performer=performer,
            takeovers=takeovers,
            new_generations=new_generations,
            app_order=app_order,
            operations=Operations(admissions),
            renewals=renewals,
            liveness=liveness,
            drain_connections=drain_connections,
            unit=unit,
            log=log,
        )
        self._unit = unit
        self._watch_signals()
        resume(apps, host, state, notes, new_generations, resume_all=resume_all)
        self._upgrades = Upgrades(
            selector,
            path,
            given,
            keeper=keeper,
            membership=membership,
            notes=lambda: notes.all_of(apps),
            wake=self._end_turn,
            inherits=lambda: self._inheritance(lock),
            stays=self._stay,
            keeper_events=keeper_events,
            log=log,
        )
        self._dispatch = Dispatch(
            apps,
            host,
            requests,
            View(
                home,
                listeners,
                evidence,
                membership,
                drain_connections,
                app_order=app_order,
            ),
            home=path,
            state=state,
            membership=membership,
            drain_connections=drain_connections,
            notify_sockets=notify_sockets,
            messages=messages,
            keeper_silent_s=keeper.silent_s,
            mechanisms=lambda: {
                "interception": interception.describe(),
                "evidence": evidence.why_unavailable() or True,
                "cgroups": instance_groups.unavailable or True,
                "limits": {
                    name: instance_groups.why_no_limit(name) or True
                    for name in controllers.WANTED
                },
            },
            settle=self._loop.settle,
            started_by=started_by,
            upgrade=self._upgrades.request,
            about=lambda: {
                **self._upgrades.about(),
                "relay_pid": takeovers.relay_pid,
                "queue_relay_pids": relays.pids,
            },
        )
        self._watch_home()
        self._control = ControlSocket(
            selector,
            path,
            self._dispatch.serve,
            log,
            inherited=(given.listener, given.listener_at),
        )

    def serve(self) -> End:
        """Run until told to leave, or until everything has ended after a shutdown.

        Or until keeper and guardian are gone: what they had is on disk then.
        """
        end = End.LEFT
        try:
            self._loop.settle()
            self._unit.ready(clock.monotonic())
            while not self._leaves:
                self._loop.over = False
                self._loop.run(self._control, self._upgrades)
                if self._upgrades.go_on():
                    self._hand_over()
                    return End.TAKEN_BACK
        except KeeperLostError as error:
            if self._keeper.ending:
                self._instance_groups.close()
                self._report_shutdown()
                end = End.SHUT_DOWN
            else:
                self._log.write("keeper-lost", reason=error.message)
                self._notes.write_all(self._apps.values())
                end = End.KEEPER_LOST if self._lock.is_ours() else End.LEFT
        if end is not End.KEEPER_LOST:
            self._unit.stopping()
        self._write_down()
        self._control.close()
        return End.SHUT_DOWN if self._keeper.ending else end

    @property
    def shuts_down(self) -> bool:
        """Whether everything is to end."""
        return self._host.shutting_down

    def _write_down(self) -> None:
        self._state.flush(all_of_it=True)
        self._notes.write_files()

    # --- an upgrade -----------------------------------------------------------------------

    def _end_turn(self) -> None:
        self._loop.over = True

    def _inheritance(self, lock: int) -> Inheritance:
        listener, listener_at = self._control.listener()
        return Inheritance(
            lock=lock,
            listener=listener,
            listener_at=listener_at,
            started_by=self._dispatch.started_by,
        )

    def _stay(self) -> None:
        """Be the supervisor, with another pid than the one that was to be replaced."""
        self._dispatch.started_by = succession.COMMAND
        self._control.listen_again()

    def _hand_over(self) -> None:
        """Let the successor take over, and end; go on if it could not."""
        self._keeper.flush_within(FLUSH_S)
        self._write_down()
        self._upgrades.announce()
        self._control.flush()
        self.taken_back = self._upgrades.hand_over()
        self._log.write("upgrade-failed", reason=self.taken_back.failure)

    def _watch_signals(self) -> None:
        for number in (signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        self._leaves = False
        """It was told to leave."""
        self.taken_back = NOTHING
        """With what this process begins anew, if its successor could not take over."""
        self._wakeup = wakeup.on((signal.SIGTERM, signal.SIGINT))
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._signalled)

    def _signalled(self) -> None:
        """Leave on SIGTERM and SIGINT; the apps serve on, and the keeper holds them."""
        numbers = self._wakeup.recv(64)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._leaves = self._loop.over = True

    def _watch_home(self) -> None:
        self._home_watch = self._lock.watch()
        if self._home_watch >= 0:
            self._selector.register(
                self._home_watch, selectors.EVENT_READ, self._home_has_changed
            )

    def _home_has_changed(self) -> None:
        """Tell, once, that the home was removed: no command reaches this process."""
        os.read(self._home_watch, 4096)
        if self._lock.is_ours():
            return
        self._selector.unregister(self._home_watch)
        os.close(self._home_watch)
        found = [
            i for a in self._apps.values() for g in a.generations for i in g.instances
        ]
        pids = ", ".join(str(each.pid) for each in found) or "none"
        text = (
            f"{self._path} was removed, or another was put in its place: no command "
            f"reaches the supervisor with pid {os.getpid()} any more.  Its apps serve on "
            f"(pids {pids}); SIGTERM ends it, and an app ends by a signal to its pid"
        )
        faults.write(f"gapless: {text}")
        self._log.write("home-lost", reason=text)

    def _report_shutdown(self) -> None:
        """Report that everything has ended, the keeper too; nothing is left then."""
        self._control.stop_listening()
        for waiter in self._dispatch.shutdown_waiters:
            waiter.send({"result": {"shut_down": True}}, last=True)
        self._control.flush()


def _sockets_of(name: str, listeners: Listeners) -> dict[str, Any]:
    """Return what is written to disk of the sockets of an app (`memory.notes`)."""
    groups = sorted({each.group for each in listeners.of_app(name)})
    values = {group: listeners.groups.value(group) for group in groups}
    return {"sockets": listeners.metas(name), "groups": values}
