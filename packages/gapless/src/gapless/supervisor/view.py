"""What the faces show: apps, instances and generations as JSON-able data."""

from __future__ import annotations

import os
from typing import Any

from gapless.base import clock
from gapless.base.names import Home
from gapless.supervisor import connections, pidfiles, processes, spec, surroundings
from gapless.supervisor.counts import Counts
from gapless.supervisor.listeners import Listeners
from gapless.supervisor.model import Phase, Role
from gapless.supervisor.observe import Evidence
from gapless.supervisor.records import AppRecord, GenerationRecord, InstanceRecord
from gapless.supervisor.speakers import Speakers

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
FRESH_S = 60.0
"""CPU time is told since the last look if that is not older, else since the start."""


class View:
    """Describes apps; remembers CPU times from one look to the next."""

    def __init__(
        self,
        home: Home,
        listeners: Listeners,
        evidence: Evidence,
        speakers: Speakers,
    ) -> None:
        self._home, self._listeners, self._evidence = home, listeners, evidence
        self._speakers = speakers
        self._ticks: dict[str, tuple[float, int]] = {}

    def entry(
        self, app: AppRecord, table: dict[int, processes.Process]
    ) -> dict[str, Any]:
        """Return one row of `list`."""
        current = app.current() or app.in_role(Role.TRIAL)
        usages = [
            self._usage(instance, table)
            for generation in app.generations
            for instance in generation.instances
        ]
        own = list(current.instances) if current else []
        own += [
            instance
            for generation in app.generations
            if generation.role is Role.YIELDING and generation is not current
            for instance in generation.instances
        ]
        ready = sum(i.phase is Phase.READY for i in own)
        listening = [
            each for each in self._listeners.by_name.values() if each.app == app.name
        ]
        total = _counted(app)
        online = current is not None and app.running
        return {
            "name": app.name,
            "label": app.spec.label or app.name,
            "namespace": app.spec.namespace,
            "ids": app.ids[: len(current.seats) if current else app.spec.instances],
            "status": status(app),
            "reason": app.stopped_why or _given_up(current) or app.warning or None,
            "exit_code": app.exit_code,
            "generation": current.number if current else app.last_generation,
            "release": (current.spec if current else app.spec).release or None,
            "instances": {
                "ready": ready,
                "wanted": len(current.seats) if current else app.spec.instances,
            },
            "restarts": app.restarts,
            "since": clock.stamp(app.since) if app.since else None,
            "uptime_s": round(clock.wall() - app.since, 3) if online else None,
            "addresses": sorted({each.address for each in listening if each.listening}),
            "memory_bytes": sum(usage["memory_bytes"] for usage in usages),
            "cpu_percent": round(sum(usage["cpu_percent"] for usage in usages), 1),
            "processes": sum(usage["processes"] for usage in usages),
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

    def _under_way(self, app: AppRecord) -> dict[str, Any]:
        """Return the procedures that run, by name, and what is asked of others."""
        procedures, outgoing, unanswered = [], [], 0
        calls = self._evidence.calls(app)
        for generation in app.generations:
            for instance in generation.instances:
                where = {"instance": f"{generation.number}.{instance.ordinal}"}
                unanswered += self._speakers.unanswered(instance.key)
                procedures += [
                    {"name": each["name"], **where, "pid": pid, **_age(each["for_s"])}
                    for pid, each in self._speakers.running(instance.key)
                    if each["kind"] == "procedure"
                ]
                outgoing += [
                    {"to": call.to, **where, "pid": instance.pid, **_age(call.for_s)}
                    for call in calls.get(instance.key, ())
                ]
        asked = any(generation.spec.outgoing for generation in app.generations)
        return {
            "procedures_named": sorted(procedures, key=lambda each: -each["for_s"]),
            "unanswered": unanswered,
            "outgoing": sorted(outgoing, key=lambda each: -each["for_s"])
            if asked
            else None,
        }

    def details(self, app: AppRecord) -> dict[str, Any]:
        """Return what `describe` shows."""
        table = processes.snapshot()
        census = self._evidence.census(app)
        instances = []
        for generation in app.generations:
            for instance in generation.instances:
                open_, busy = census.get(instance.key, (0, 0))
                instances.append(
                    {
                        "ordinal": instance.ordinal,
                        "id": app.ids[instance.ordinal],
                        "started_at": clock.stamp(
                            clock.wall() - clock.monotonic() + instance.started
                        ),
                        "generation": generation.number,
                        "pid": instance.pid,
                        "phase": instance.phase.value,
                        "uptime_s": round(clock.monotonic() - instance.started, 3),
                        "connections": open_,
                        "busy": busy,
                        "mode": instance.mode.value,
                        "counts": instance.counts.to_wire()
                        if instance.counts
                        else None,
                        "status_text": instance.status_text,
                        "restarts": generation.seats[instance.ordinal].restarts,
                        **self._usage(instance, table),
                    }
                )
        return {
            **self.entry(app, table),
            "instances_detail": instances,
            "generations": [self._generation(app, g) for g in app.generations],
            "spec": spec.to_wire(app.spec),
            "logs": self._logs(app),
            "logs_by_instance": [
                self._places(app, ordinal) for ordinal in range(app.spec.instances)
            ],
            "last_report": app.last_report,
        }

    def _logs(self, app: AppRecord) -> list[str]:
        """Return the files that its instances write."""
        found: list[str] = []
        for ordinal in range(app.spec.instances):
            places = self._places(app, ordinal)
            found += [places["output"], places["error"], places["combined"]]
        return [path for path in dict.fromkeys(found) if path]

    def _places(self, app: AppRecord, ordinal: int) -> dict[str, str]:
        """Return the files of one instance."""
        log = surroundings.log(
            app.spec,
            self._home.app_log(app.name),
            generation=0,
            ordinal=ordinal,
            identity=app.ids[ordinal],
        )
        pid_file = app.spec.pid_file
        return {
            "output": log["output"],
            "error": log["error"],
            "combined": log["combined"],
            "pid_file": pidfiles.path_of(pid_file, app.ids[ordinal])
            if pid_file
            else "",
        }

    def _generation(
        self, app: AppRecord, generation: GenerationRecord
    ) -> dict[str, Any]:
        own = self._listeners.of(app.name, generation.lineage)
        return {
            "generation": generation.number,
            "role": generation.role.value,
            "release": generation.spec.release or None,
            "directory": generation.spec.directory,
            "failure": generation.failure or None,
            "sockets": [
                {"address": each.address, "queued": connections.queued(each.sock)}
                for each in own
                if each.listening
            ],
        }

    def _usage(
        self, instance: InstanceRecord, table: dict[int, processes.Process]
    ) -> dict[str, Any]:
        pids = self._evidence.members(table, instance)
        ticks = sum(table[pid].cpu_ticks for pid in pids)
        now = clock.monotonic()
        before = self._ticks.get(instance.key, (instance.started, 0))
        if now - before[0] > FRESH_S:
            before = (instance.started, 0)
        self._ticks[instance.key] = (now, ticks)
        spent_s = max(0, ticks - before[1]) / TICKS_PER_S
        return {
            "memory_bytes": sum(table[pid].rss_bytes for pid in pids),
            "cpu_percent": round(100 * spent_s / max(now - before[0], 0.01), 1),
            "processes": len(pids),
        }

    def forget(self, key: str) -> None:
        """Drop what was remembered of an instance that is gone."""
        self._ticks.pop(key, None)


def _age(for_s: float) -> dict[str, Any]:
    """Return for how long something runs, and since when by the clock."""
    return {"for_s": round(for_s, 3), "since": clock.stamp(clock.wall() - for_s)}


def _counted(app: AppRecord) -> Counts | None:
    """Return what all instances of an app count; None if none of them does."""
    total = None
    for generation in app.generations:
        for instance in generation.instances:
            if instance.counts is not None:
                total = (total or Counts()).plus(instance.counts)
    return total


def status(app: AppRecord) -> str:
    """Return one or two words that tell how an app is."""
    roles = {generation.role for generation in app.generations}
    current = app.current()
    if not app.running:
        return "stopping" if roles else "stopped"
    if current is None and Role.TRIAL in roles:
        return "starting"
    if current is None:
        return "gave up" if app.stopped_why else "stopped"
    if Role.TRIAL in roles or Role.PROVING in roles:
        return "reloading"
    if Role.RECYCLING in roles:
        return "recycling"
    if Role.RETIRING in roles:
        return "draining"
    if not any(instance.phase is Phase.READY for instance in current.instances):
        return "starting"
    return "online"


def _given_up(generation: GenerationRecord | None) -> str:
    if generation is None:
        return ""
    given_up = [seat for seat in generation.seats if seat.given_up]
    if not given_up:
        return ""
    names = ", ".join(str(seat.ordinal) for seat in given_up)
    return f"gave up on instance {names}: {given_up[0].why}"
