"""What clients are shown: apps, instances and generations as JSON-able data."""

from __future__ import annotations

from typing import Any

from gapless.base import clock, codec
from gapless.base.names import Home
from gapless.base.outside.text import printable
from gapless.supervisor.act import pid_files
from gapless.supervisor.act.log_settings import log_settings
from gapless.supervisor.control.status import counts_of, given_up, status, tried_again
from gapless.supervisor.control.usage import Usage
from gapless.supervisor.decide import background, last_words
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.kernel import controllers, processes, queues
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.model import Phase, Role
from gapless.supervisor.memory.operations import Operation
from gapless.supervisor.observe import log_tail
from gapless.supervisor.observe.app_order import AppOrder
from gapless.supervisor.observe.evidence import Evidence
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.sockets.listeners import Listeners


def identity(app: AppRecord) -> dict[str, Any]:
    """Return by what an app is known to users, and its status."""
    current = _current(app)
    return {
        "name": app.name,
        "label": app.spec.label or app.name,
        "alias": app.spec.alias or app.name,
        "namespace": app.spec.namespace,
        "ids": app.ids[: len(current.seats) if current else app.spec.instances],
        "status": status(app),
        "after": list(app.spec.after),
    }


class View:
    """Describes apps."""

    def __init__(
        self,
        home: Home,
        listeners: Listeners,
        evidence: Evidence,
        membership: Membership,
        drain_connections: DrainConnections,
        *,
        app_order: AppOrder,
    ) -> None:
        self._home, self._listeners, self._evidence = home, listeners, evidence
        self._drain_connections = drain_connections
        self._app_order = app_order
        self._usage = Usage(membership)

    def entries(self, apps: Apps) -> list[dict[str, Any]]:
        """Return the rows of `list`."""
        rows = [self._entry(app, self._measured(app)) for app in apps.values()]
        generations = (g for app in apps.values() for g in app.generations)
        self._usage.keep({i.key for g in generations for i in g.instances})
        return rows

    def _measured(self, app: AppRecord) -> dict[str, dict[str, Any]]:
        """Return what each instance uses, by key: CPU is since it was last asked for."""
        return {
            instance.key: self._usage.of(instance)
            for generation in app.generations
            for instance in generation.instances
        }

    def _entry(
        self, app: AppRecord, measured: dict[str, dict[str, Any]]
    ) -> dict[str, Any]:
        current = _current(app)
        own = list(current.instances) if current else []
        own += [
            instance
            for generation in app.generations
            if generation.role is Role.YIELDING and generation is not current
            for instance in generation.instances
        ]
        total, waits_for = counts_of(app), self._app_order.waits_for(app)
        online = current is not None and app.running
        up_since = app.up_since()
        up_s = None if up_since is None else max(0.0, clock.monotonic() - up_since)
        return {
            **identity(app),
            "reason": app.stop_reason
            or given_up(current)
            or tried_again(current)
            or _waits(waits_for)
            or _hanging(current)
            or _missing(current)
            or app.warning
            or _left_by_job(current)
            or _log_trouble(app, self._logs(app))
            or None,
            "waits_for": waits_for,
            "log_lines_lost": app.log_lines_lost,
            "log_trouble": app.log_trouble or None,
            "exit_code": app.exit_code,
            "finished": app.finished,
            "generation": current.number if current else app.last_generation,
            "release": (current.spec if current else app.spec).release or None,
            "instances": {
                "ready": sum(i.phase is Phase.READY and i.has_seat for i in own),
                "wanted": len(current.seats) if current else app.spec.instances,
            },
            "restarts": app.restarts,
            "restarts_by": app.restarts_by,
            "replaced": app.replaced,
            "totals": codec.encode(app.totals),
            "since": None if up_s is None else clock.stamp(clock.wall() - up_s),
            "uptime_s": round(up_s, 3) if up_s is not None and online else None,
            "addresses": self._addresses(app),
            **_sums(measured),
            "usage": _usage(app, measured),
            "pids": sorted(i.pid for i in own if i.pid),
            "requests": None if total is None else total.requests,
            "procedures": None if total is None else total.procedures,
            "silent": 0 if total is None else total.silent,
            "counts": total and ("requests" if total.unable else "all"),
            "refuses": total is not None and not total.unable,
            "recycles": app.spec.overlap is spec.Overlap.NEVER,
            "modes": sorted({i.mode.value for i in own}),
            **self._under_way(app),
        }

    def _addresses(self, app: AppRecord) -> list[str]:
        own = self._listeners.of_app(app.name)
        return sorted({each.address for each in own if each.listening})

    def _under_way(self, app: AppRecord) -> dict[str, Any]:
        """Return the procedures that run, by name, and the calls to databases."""
        procedures, outgoing, unanswered = [], [], 0
        found = self._evidence.calls(app)
        calls = found or {}
        for generation in app.generations:
            for instance in generation.instances:
                where = {"instance": f"{generation.number}.{instance.ordinal}"}
                unanswered += self._drain_connections.unanswered(instance.key)
                procedures += [
                    {"name": each["name"], **where, "pid": pid, **_age(each["for_s"])}
                    for pid, each in self._drain_connections.running(instance.key)
                    if each["kind"] == "procedure"
                ]
                outgoing += [
                    {"to": call.to, **where, "pid": instance.pid, **_age(call.for_s)}
                    for call in calls.get(instance.key, ())
                ]
        watches = any(generation.spec.outgoing for generation in app.generations)
        return {
            "procedures_named": sorted(procedures, key=_longest_first),
            "unanswered": unanswered,
            "outgoing": sorted(outgoing, key=_longest_first)
            if watches and found is not None
            else None,
            "outgoing_unseen": watches and found is None,
        }

    # --- one app ----------------------------------------------------------------------

    def details(self, app: AppRecord) -> dict[str, Any]:
        """Return what `describe` shows."""
        measured = self._measured(app)
        census = self._evidence.census(app)
        return {
            **self._entry(app, measured),
            "instances_detail": [
                self._instance(app, generation, instance, _found(census, instance.key))
                | measured[instance.key]
                for generation in app.generations
                for instance in generation.instances
            ],
            "generations": [self._generation(app, g) for g in app.generations],
            "spec": codec.encode(app.spec),
            "hint": self._hint(app) or None,
            "takeover_trouble": app.takeover_trouble or None,
            "limits_trouble": app.limits_trouble or None,
            "seats": [
                {
                    "generation": generation.number,
                    "ordinal": seat.ordinal,
                    "restarts": seat.restarts,
                    "last_exit": seat.exit_reason or None,
                }
                for generation in app.generations
                for seat in generation.seats
            ],
            "logs": self._logs(app),
            "logs_by_instance": [
                self._files(app, ordinal) for ordinal in range(app.spec.instances)
            ],
            "operation": app.operation and _operation(app.operation),
            "last_report": app.last_report,
        }

    def _instance(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        instance: InstanceRecord,
        connections: tuple[int | None, int | None],
    ) -> dict[str, Any]:
        uptime_s = clock.monotonic() - instance.started
        counts = instance.counts
        return {
            "ordinal": instance.ordinal,
            "id": app.ids[instance.ordinal],
            "started_at": clock.stamp(clock.wall() - uptime_s),
            "generation": generation.number,
            "pid": instance.pid,
            "background": instance.background,
            "leader": _name_of(instance),
            "alive": {
                "failures": instance.alive_failures,
                "answer": instance.alive_answer or None,
                "replaces": instance.replaces if not instance.has_seat else None,
            },
            "phase": instance.phase.value,
            "uptime_s": round(uptime_s, 3),
            "connections": connections[0],
            "busy": connections[1],
            "mode": instance.mode.value,
            "counts": codec.encode(counts) if counts else None,
            "status_text": instance.status_text,
            "metrics": instance.metrics,
            "actions": instance.actions,
            "restarts": generation.seats[instance.ordinal].restarts,
            "killed_for_memory": controllers.memory_events(instance.cgroup).killed
            if instance.cgroup
            else 0,
        }

    def _hint(self, app: AppRecord) -> str:
        """Return what to do about instances that do not start, or end at once."""
        current = _current(app)
        seats = current.seats if current else []
        short = (seat.exit_reason for seat in seats if seat.short_lives)
        reason = app.stop_reason or next(short, "")
        if current is not None and current.excludes:
            return current.hint
        if not reason:
            return ""
        number = current.number if current else app.last_generation
        marks = dict.fromkeys(self._logs(app), 0)
        return last_words.hint(log_tail.last_lines(marks, number), reason)

    def _logs(self, app: AppRecord) -> list[str]:
        """Return the files that its instances write."""
        found: list[str] = []
        for ordinal in range(app.spec.instances):
            files = self._files(app, ordinal)
            found += [files["output"], files["error"], files["combined"]]
        return [path for path in dict.fromkeys(found) if path]

    def _files(self, app: AppRecord, ordinal: int) -> dict[str, str]:
        """Return the files of one instance."""
        log = log_settings(
            app.spec,
            self._home.app_log(app.name),
            generation=0,
            ordinal=ordinal,
            identity=app.ids[ordinal],
        )
        pid_file = app.spec.pid_file
        if pid_file:
            pid_file = pid_files.path_of(pid_file, app.ids[ordinal])
        return {
            "output": log["output"],
            "error": log["error"],
            "combined": log["combined"],
            "pid_file": pid_file,
        }

    def _generation(
        self, app: AppRecord, generation: GenerationRecord
    ) -> dict[str, Any]:
        own = self._listeners.of(app.name, generation.sockets_of)
        return {
            "generation": generation.number,
            "role": generation.role.value,
            "release": generation.spec.release or None,
            "directory": generation.spec.directory,
            "failure": generation.failure or None,
            "order_remarks": list(generation.order_remarks),
            "sockets": [
                {
                    "address": each.address,
                    "seat": each.seat,
                    "queued": queues.queued(each.sock),
                }
                for each in sorted(own, key=lambda each: each.seat or 0)
                if each.listening
            ],
        }


def _found(
    census: dict[str, tuple[int, int]] | None, key: str
) -> tuple[int | None, int | None]:
    """Return the connections of an instance, and the busy ones; None if unknown."""
    return (None, None) if census is None else census.get(key, (0, 0))


def _current(app: AppRecord) -> GenerationRecord | None:
    return app.current() or app.in_role(Role.TRIAL)


def _missing(current: GenerationRecord | None) -> str:
    """Return what could not be had again of instances that outlived gapless itself."""
    found = (i for i in (current.instances if current else ()) if i.missing)
    first = next(found, None)
    if first is None:
        return ""
    return (
        f"found again after keeper and guardian had died; until the next release "
        f"{first.missing}"
    )


def _waits(names: list[str]) -> str:
    return f"waits for {', '.join(names)}" if names else ""


def _hanging(generation: GenerationRecord | None) -> str:
    """Return which instances do not answer, and why; empty if all do."""
    if generation is None:
        return ""
    least = generation.spec.alive.failures
    own = [i for i in generation.instances if i.has_seat]
    found = [i for i in own if i.alive_failures >= least]
    if not found:
        return ""
    every = len(found) == len(own) > 1
    names = ", ".join(str(instance.ordinal) for instance in found)
    who = f"all {len(own)} instances do" if every else f"instance {names} does"
    text = f"{who} not answer: {found[0].alive_answer}"
    tried = generation.seats[found[0].ordinal].short_lives
    if generation.excludes:
        text += f"; it has no successor beside it: {generation.excludes}"
    elif tried > generation.spec.restart.max:
        text += f"; gave up: {tried} successors in a row did not answer either"
    elif tried:
        text += f"; successors that did not answer either: {tried}"
    return text


def _operation(operation: Operation) -> dict[str, Any]:
    """Return how far an operation has come, in the words of its report."""
    stops = operation.stops
    return {
        "action": operation.action,
        "generation": {
            "old": operation.old_generation,
            "new": None if stops else operation.generation,
        },
        "started_at": operation.started_at,
        "for_s": round(clock.monotonic() - operation.asked_at, 3),
        "steps": operation.steps,
    }


def _left_by_job(generation: GenerationRecord | None) -> str:
    """Return what is left of a job that has ended with 0, and counts as the app."""
    if generation is None or not background.is_job(generation.spec.restart):
        return ""
    found = [i for i in generation.instances if i.background and i.leader_alive]
    if not found:
        return ""
    names = ", ".join(f"{_name_of(each)} (pid {each.pid})" for each in found)
    return f"its command has ended with code 0; {names} was left behind and listens"


def _name_of(instance: InstanceRecord) -> str | None:
    """Return the name of a leader that another process left behind."""
    row = processes.read(instance.pid) if instance.background else None
    return printable(row.name) if row is not None else None


def _log_trouble(app: AppRecord, logs: list[str]) -> str:
    """Return why its *logs* take nothing now; empty if they do."""
    if not app.log_trouble:
        return ""
    lost = f", {app.log_lines_lost} lines are lost" if app.log_lines_lost else ""
    where = f" ({logs[0]})" if len(logs) == 1 else ""
    return f"its log cannot be written: {app.log_trouble}{where}{lost}"


def _usage(app: AppRecord, measured: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the phase of each instance, and what it uses."""
    return [
        {
            "generation": generation.number,
            "ordinal": instance.ordinal,
            "phase": instance.phase.value,
            "memory_bytes": measured[instance.key]["memory_bytes"],
            "cpu_s": measured[instance.key]["cpu_s"],
        }
        for generation in app.generations
        for instance in generation.instances
    ]


def _sums(measured: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what all instances of an app use together."""
    each = measured.values()
    return {
        "memory_bytes": sum(usage["memory_bytes"] for usage in each),
        "cpu_percent": round(sum(usage["cpu_percent"] for usage in each), 1),
        "processes": sum(usage["processes"] for usage in each),
    }


def _age(for_s: float) -> dict[str, Any]:
    """Return for how long something runs, and since when by the clock."""
    return {"for_s": round(for_s, 3), "since": clock.stamp(clock.wall() - for_s)}


def _longest_first(each: dict[str, Any]) -> float:
    return -float(each["for_s"])
