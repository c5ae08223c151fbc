"""What the list of a supervisor says, as samples.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gapless.metrics.sample import Sample, sample

_NONE_ENDED = {
    f"{action} {outcome}": 0
    for action in ("start", "reload", "restart")
    for outcome in ("done", "failed", "reverted")
}
Listed = Mapping[str, Any]
"""The answer to `list` (spec/control.md)."""


class ProcessUsage(NamedTuple):
    """What a process of gapless itself uses."""

    memory_bytes: int
    cpu_s: float


def of_host(
    listed: Listed | None, took_s: float, processes: Mapping[str, ProcessUsage]
) -> Iterator[Sample]:
    """Yield what a list says; without one the supervisor did not answer."""
    yield sample("up", listed is not None)
    yield sample("scrape_seconds", took_s)
    for name, used in processes.items():
        yield sample("process_memory_bytes", used.memory_bytes, name)
        yield sample("process_cpu_seconds_total", used.cpu_s, name)
    if listed is None:
        return
    # A supervisor of an earlier version lacks fields.
    own, rows = listed.get("supervisor") or {}, listed.get("apps") or ()
    yield sample("version_info", 1, own.get("version") or "")
    yield sample("host_draining", bool(own.get("draining")))
    yield sample("keeper_silent_seconds", own.get("keeper_silent_s") or 0.0)
    statuses = Counter(row.get("status") or "" for row in rows)
    for status, number in sorted(statuses.items()):
        yield sample("apps", number, status)
    for row in rows:
        yield from _of_app(row)


def _of_app(row: Mapping[str, Any]) -> Iterator[Sample]:
    app, usage = row["name"], row.get("usage") or ()
    yield sample("app_status_info", 1, app, row.get("status") or "")
    yield sample("app_release_info", 1, app, row.get("release") or "")
    yield sample("app_generation", row.get("generation") or 0, app)
    if row.get("uptime_s") is not None:
        yield sample("app_uptime_seconds", row["uptime_s"], app)
    phases = Counter(each.get("phase") for each in usage)
    for phase in ("starting", "ready", "draining"):
        yield sample("app_instances", phases[phase], app, phase)
    instances = row.get("instances") or {}
    yield sample("app_instances_ready", instances.get("ready") or 0, app)
    yield sample("app_instances_wanted", instances.get("wanted") or 0, app)
    causes = {"exit": 0, "liveness": 0} | (row.get("restarts_by") or {})
    for cause, number in sorted(causes.items()):
        yield sample("app_restarts_total", number, app, cause)
    yield sample("app_memory_bytes", row.get("memory_bytes") or 0, app)
    yield sample("app_processes", row.get("processes") or 0, app)
    if row.get("requests") is not None:
        yield sample("app_requests", row["requests"], app)
        yield sample("app_procedures", row.get("procedures") or 0, app)
        named = row.get("procedures_named") or ()
        ages = (each.get("for_s") or 0.0 for each in named)
        yield sample("app_procedure_oldest_seconds", max(ages, default=0.0), app)
    if row.get("outgoing") is not None:
        yield sample("app_calls", len(row["outgoing"]), app)
    yield sample("app_log_lines_lost_total", row.get("log_lines_lost") or 0, app)
    yield sample("app_log_failing", bool(row.get("log_trouble")), app)
    for each in usage:
        where = app, each.get("generation") or 0, each.get("ordinal") or 0
        yield sample("instance_cpu_seconds_total", each.get("cpu_s") or 0.0, *where)
        yield sample("instance_memory_bytes", each.get("memory_bytes") or 0, *where)
    yield from _of_reports(app, row.get("totals") or {})


def _of_reports(app: str, totals: Mapping[str, Any]) -> Iterator[Sample]:
    """Yield what the reports of an app add up to."""
    # What is not there yet is 0: the first increase counts then.
    took_s = totals.get("took_s", {})
    ended = _NONE_ENDED | totals.get("operations", {})
    for words, number in sorted(ended.items()):
        action, _, outcome = words.partition(" ")
        yield sample(
            "app_operation_seconds",
            took_s.get(words, 0.0),
            *(app, action, outcome),
            number=number,
        )
    known = dict.fromkeys(("finished", "cut", "unknown", "taken_over"), 0)
    for outcome, number in sorted((known | totals.get("connections", {})).items()):
        yield sample("app_connections_total", number, app, outcome)
    kinds = dict.fromkeys(("connections", "requests", "procedures", "outgoing"), 0)
    for kind, number in sorted((kinds | totals.get("cut", {})).items()):
        yield sample("app_cut_total", number, app, kind)
