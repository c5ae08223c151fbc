"""The table of all metrics: names, kinds, labels, and what each says.

Names follow Prometheus's rules: the unit stands in the name, in seconds and bytes, and
what only grows ends in `_total`.  docs/metrics.md, the alert rules and the dashboard are
compared with this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "summary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric."""

    name: str
    """As it is scraped; of a summary without `_sum` and `_count`."""
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which its values are found."""
        if self.kind == "summary":
            return f"{self.name}_count", f"{self.name}_sum"
        return (self.name,)


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(name=f"gapless_{name}", kind="gauge", text=text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(
        name=f"gapless_{name}_total", kind="counter", text=text, labels=labels
    )


HOST = (
    _gauge("up", "1 if the supervisor answered, else 0."),
    _gauge("version_info", "The version of the supervisor that runs.", "version"),
    _gauge("scrape_seconds", "How long the supervisor took to answer."),
    _gauge("host_draining", "1 while this host is out of service."),
    _gauge("keeper_silent_seconds", "For how long the keeper has read nothing."),
    _gauge("process_memory_bytes", "Memory of a process of gapless itself.", "process"),
    _counter(
        "process_cpu_seconds", "Processor time of a process of gapless.", "process"
    ),
    _gauge("apps", "Apps by status.", "status"),
)
APPS = (
    _gauge(
        "app_status_info", "The status of an app, as `list` shows it.", "app", "status"
    ),
    _gauge("app_release_info", "The release that serves.", "app", "release"),
    _gauge("app_generation", "The number of the generation that serves.", "app"),
    _gauge("app_uptime_seconds", "Since the app was started or handed over.", "app"),
    _gauge("app_instances", "Instances by phase, of all generations.", "app", "phase"),
    _gauge("app_instances_ready", "Instances of the generation that serves.", "app"),
    _gauge("app_instances_wanted", "Instances that there should be.", "app"),
    _counter("app_restarts", "Instances that were replaced, by cause.", "app", "cause"),
    _gauge("app_memory_bytes", "Memory of all processes of an app.", "app"),
    _gauge("app_processes", "Processes of an app.", "app"),
    _gauge("app_requests", "Requests under way; absent if none counts.", "app"),
    _gauge("app_procedures", "Procedures under way; absent if none counts.", "app"),
    _gauge("app_procedure_oldest_seconds", "The oldest procedure that runs.", "app"),
    _gauge("app_calls", "Calls to databases without their answer.", "app"),
    _counter("app_log_lines_lost", "Lines that its logs did not take.", "app"),
    _gauge("app_log_failing", "1 while its logs take nothing.", "app"),
)
INSTANCES = (
    _counter(
        "instance_cpu_seconds",
        "Processor time of an instance.",
        *("app", "generation", "ordinal"),
    ),
    _gauge(
        "instance_memory_bytes",
        "Memory of an instance.",
        *("app", "generation", "ordinal"),
    ),
)
RELEASES = (
    Family(
        name="gapless_app_operation_seconds",
        kind="summary",
        text="Starts, reloads, restarts, scales and stops: how many, and how long.",
        labels=("app", "action", "outcome"),
    ),
    _counter(
        "app_connections",
        "Connections of generations that ended, by what became of them.",
        *("app", "outcome"),
    ),
    _counter("app_cut", "What was cut, by its kind.", "app", "kind"),
)
ROLLOUTS = (
    _gauge(
        "coordinator_up", "1 if the coordinator of a fleet answered, else 0.", "app"
    ),
    _gauge(
        "rollout_state", "1 for the state of the last rollout, else 0.", "app", "state"
    ),
    _gauge("rollout_number", "The number of the last rollout.", "app"),
    _gauge("rollout_release_info", "What is rolled out.", "app", "release", "previous"),
    _gauge("rollout_hosts", "Hosts of a fleet, by phase.", "app", "phase"),
    _gauge("rollout_slots", "Hosts that may change at a time.", "app"),
    _gauge("rollout_slots_held", "Hosts that hold a slot.", "app"),
)
TOPICS = {
    "This host": HOST,
    "Apps": APPS,
    "Instances": INSTANCES,
    "Releases": RELEASES,
    "Rollouts": ROLLOUTS,
}
"""By the title that docs/metrics.md gives them."""
FAMILIES = {each.name: each for topic in TOPICS.values() for each in topic}
