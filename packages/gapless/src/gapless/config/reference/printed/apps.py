"""Apps and their instances, as `list`, `describe` and others print them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gapless.config.reference.printed.reports import Report, UnderWay


class Ready(msgspec.Struct):
    """How many instances are ready."""

    ready: int
    wanted: int


class Procedure(msgspec.Struct):
    """A procedure that runs."""

    name: str
    instance: str
    """The generation and the ordinal: 3.0."""
    pid: int
    for_s: float
    since: str


class Call(msgspec.Struct):
    """A question to a database whose answer is outstanding."""

    to: str
    instance: str
    pid: int
    for_s: float
    since: str


class InstanceUsage(msgspec.Struct):
    """What an instance uses."""

    generation: int
    ordinal: int
    phase: str
    memory_bytes: int
    cpu_s: float
    """Processor time since its start."""


class Totals(msgspec.Struct):
    """What the reports of an app add up to."""

    operations: dict[str, int]
    """How many ended, by action and outcome: `reload done`."""
    took_s: dict[str, float]
    connections: dict[str, int]
    """What became of them."""
    cut: dict[str, int]


class Row(msgspec.Struct):
    """An app."""

    name: str
    label: str
    """What its file calls it."""
    alias: str
    """What PM2 would call it."""
    namespace: str
    ids: list[int]
    """One for each instance."""
    status: str
    after: list[str]
    """Apps that it is after."""
    reason: str | None
    """Why it is not as it should be."""
    waits_for: list[str]
    """Apps that it waits for now."""
    log_lines_lost: int
    log_trouble: str | None
    """Why its log takes nothing now."""
    exit_code: int | None
    """Of the instance that ended last; negative: the signal."""
    finished: bool
    """It ended by itself, as its settings allow; else `stopped` means by hand."""
    generation: int
    release: str | None
    instances: Ready
    restarts: int
    restarts_by: dict[str, int]
    replaced: int
    """Instances that hung and have a successor."""
    totals: Totals
    since: str | None
    uptime_s: float | None
    addresses: list[str]
    memory_bytes: int
    cpu_percent: float
    processes: int
    usage: list[InstanceUsage]
    pids: list[int]
    requests: int | None
    """Under way; null: the app does not count."""
    procedures: int | None
    silent: int
    """Processes that have not told their counts yet."""
    counts: Literal["all", "requests"] | None
    refuses: bool
    """Whether all of it answers 503 when the host drains."""
    recycles: bool
    """Whether it cannot run twice at once."""
    modes: list[str]
    procedures_named: list[Procedure]
    unanswered: int
    outgoing: list[Call] | None
    outgoing_unseen: bool


class Supervisor(msgspec.Struct):
    """The processes of gapless on this host."""

    pid: int
    keeper_pid: int | None
    keeper_silent_s: float | None
    """For how long the keeper has not read what it was sent."""
    guardian_pid: int | None
    relay_pid: int | None
    """Of the process that holds connections which were taken over; null: none runs."""
    queue_relay_pids: list[int]
    """Of those that serve what waits in the queues of generations without instances."""
    version: str
    home: str
    started_by: str
    keeper_version: str | None
    package: str
    """Where gapless is installed that runs."""
    upgraded: str | None
    draining: bool
    unread: dict[str, str]
    """Apps that another version has noted, and why they are left alone."""
    mechanisms: dict[str, Any]
    """What the kernel lets it do: true, or why not."""


class Listed(msgspec.Struct):
    """The apps of this host."""

    apps: list[Row]
    supervisor: Supervisor | None
    """Null: none runs, so no app does."""


class Liveness(msgspec.Struct):
    """The checks of an instance that serves."""

    failures: int
    answer: str | None
    replaces: str | None
    """The instance that hangs and whose seat it will have."""


class Instance(msgspec.Struct):
    """An instance."""

    ordinal: int
    id: int
    started_at: str
    generation: int
    pid: int
    background: bool
    """Whether its command has ended, and left this process behind."""
    leader: str | None
    alive: Liveness
    phase: str
    uptime_s: float
    connections: int | None
    """Null: the kernel does not show them."""
    busy: int | None
    mode: str
    counts: dict[str, Any] | None
    status_text: str
    metrics: dict[str, Any]
    actions: dict[str, Any]
    restarts: int
    killed_for_memory: int
    memory_bytes: int
    cpu_s: float
    cpu_percent: float
    processes: int


class Socket(msgspec.Struct):
    """A listening socket."""

    address: str
    seat: int | None
    queued: int | None
    """Connections that wait in it."""


class Generation(msgspec.Struct):
    """A generation that has instances."""

    generation: int
    role: str
    release: str | None
    directory: str
    failure: str | None
    order_remarks: list[str]
    sockets: list[Socket]


class Seat(msgspec.Struct):
    """A place for one instance."""

    generation: int
    ordinal: int
    restarts: int
    last_exit: str | None


class Files(msgspec.Struct):
    """The files of one instance; empty: none."""

    output: str
    error: str
    combined: str
    pid_file: str


class Described(Row, kw_only=True):
    """Everything about one app."""

    instances_detail: list[Instance]
    generations: list[Generation]
    spec: dict[str, Any]
    """The configuration with which it runs; secrets are masked."""
    hint: str | None
    takeover_trouble: str | None
    limits_trouble: str | None
    seats: list[Seat]
    logs: list[str]
    logs_by_instance: list[Files]
    operation: UnderWay | None
    last_report: Report | None


class Drained(msgspec.Struct):
    """A host that was taken out of service."""

    drained: bool
    serving: list[str]
    """Apps that serve on: they do not use the drain library."""
    apps: list[Row]


class RunningProcedures(msgspec.Struct):
    """The procedures of an app."""

    app: str
    counts: Literal["all", "requests"] | None
    procedures: list[Procedure]
    unnamed: int
    unanswered: int
    outgoing: list[Call] | None


class Emptied(msgspec.Struct):
    """Logs that were emptied."""

    emptied: list[str]


class Reset(msgspec.Struct):
    """Apps whose restarts are counted from zero."""

    reset: list[str]


class LogLine(msgspec.Struct):
    """A line of a log."""

    message: str
    timestamp: str | None = None
    """Null: it stood in the file before, and nobody knows it."""
    type: str = "out"
    """out or err."""
    process_id: int | None = None
    """The id of the instance."""
    app_name: str = ""


class Pm2Item(msgspec.Struct):
    """An instance, as PM2 prints it."""

    name: str
    pid: int
    pm_id: int
    monit: dict[str, Any]
    pm2_env: dict[str, Any]
