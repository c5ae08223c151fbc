"""The keys of an [app.NAME] table, their types, their defaults and what they mean.

The text below a key is its description, in `docs/configuration.md` and in the JSON Schema;
what stands after "Example:" is TOML, and is checked by a test.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gapless.config.toml.schema import (
    Affine,
    Command,
    Count,
    Dropped,
    MayOverlap,
    MayTake,
    Patterns,
    Port,
    Seconds,
    Table,
    UrlPath,
    Word,
)


class Http(Table, frozen=True):
    """An HTTP probe."""

    http: UrlPath
    """The path that is asked for; an answer of 2xx or 3xx passes.

    Example: "/health"
    """


class Ready(Table, frozen=True):
    """When an instance is ready."""

    when: Literal["auto", "listening", "notify"] | Http = "auto"
    """`auto`: it listens, or says READY=1 to NOTIFY_SOCKET; `listening`: it listens, on
    all addresses of the generation before; `notify`: it says READY=1.

    Example: "notify"
    """
    http: UrlPath | None = None
    """Ready is an instance that answers this path with 2xx or 3xx; it begins with a
    slash. Not with `notify`.

    Example: "/health"
    """
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 30.0
    """How long an instance may take; after that the start has failed, and the old
    generation serves on.

    Example: 60
    """


class Alive(Table, frozen=True):
    """When an instance that serves counts as hanging, and is replaced."""

    when: Literal["listening"] | Http = "listening"
    """`listening`: it has to accept a connection.

    Example: "listening"
    """
    http: UrlPath | None = None
    """It has to answer this path with 2xx or 3xx.

    Example: "/health"
    """
    every_s: Annotated[float, msgspec.Meta(ge=0.1, le=86_400)] = 10.0
    """The time from one check to the next.

    Example: 5
    """
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 5.0
    """How long a check may take.

    Example: 2
    """
    failures: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    """How many checks in a row have to fail.

    Example: 5
    """


class Stop(Table, frozen=True):
    """How an instance is stopped."""

    signal: str = "SIGTERM"
    """The signal that asks a program to end.

    Example: "SIGQUIT"
    """
    message: bool = False
    """Send the message "shutdown" on Node's channel in place of the signal.

    Example: true
    """
    drain_timeout_s: Seconds = 30.0
    """How long requests, streams and procedures that have begun may go on; then the
    signal is sent, and what it cuts is reported.

    Example: 120
    """
    kill_timeout_s: Seconds = 5.0
    """How long the program may take from the signal to its end; then SIGKILL.

    Example: 10
    """
    tree: bool = True
    """End what the program has started, too.

    Example: false
    """


class Restart(Table, frozen=True):
    """What happens when an instance ends by itself."""

    automatic: bool = True
    """Start it again.

    Example: false
    """
    max: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """How many lives in a row may be shorter than `min_uptime_s`; after one more
    gapless gives up. Without the key 16, and a first start is tried once.

    Example: 5
    """
    min_uptime_s: Seconds = 1.0
    """A life that is shorter counts as a failed start.

    Example: 5
    """
    delay_s: Seconds | None = None
    """The time before each start after an end; without the key none, but longer after
    short lives.

    Example: 2
    """
    backoff_s: Seconds = 0.0
    """The time before the first start after an end; half as much more each time, up to
    15 s; 0: none.

    Example: 0.1
    """
    stop_exit_codes: tuple[Annotated[int, msgspec.Meta(ge=0, le=255)], ...] = ()
    """The exit codes after which it is not started again.

    A release of what listens that ends before it has proved itself has failed all the same.

    Example: [0]
    """


class Renew(Table, frozen=True):
    """What makes gapless begin a handoff by itself."""

    memory_mb: Annotated[float, msgspec.Meta(ge=0)] = 0
    """The largest process of an instance has more memory (RSS) than this; 0: any.

    Example: 500
    """
    cron: str = ""
    """The times, as in crontab(5); a sixth field in front is seconds.

    Example: "0 4 * * *"
    """
    watch: tuple[str, ...] = ()
    """A file below one of these paths changes; relative to the directory of the app.

    Example: ["src"]
    """
    ignore: tuple[str, ...] | None = None
    """The patterns of paths whose change does not count; without the key files that
    begin with a dot, and node_modules.

    Example: ["*.log"]
    """
    watch_delay_s: Seconds = 0.2
    """How long nothing may change before the handoff begins.

    Example: 1
    """


class Recycle(Table, frozen=True):
    """How an app that cannot run twice at once is renewed."""

    max_unavailable: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    """How many instances may be out at the same time.

    Example: 2
    """
    lead_s: Seconds = 0.0
    """How long, at most, the health path says no before requests are refused.

    Example: 10
    """
    quiet_s: Seconds = 1.0
    """The balancer has reacted if no request has come for so long; write twice the time
    between its checks.

    Example: 4
    """


class Log(Table, frozen=True):
    """Where the output goes, and when its files are rotated."""

    format: Literal["text", "plain", "json"] = "text"
    """`text`: each line has the time and the instance before it; `plain`: as it was
    printed; `json`: one object a line.

    Example: "json"
    """
    date_format: str = ""
    """The time before a line, as in strftime(3), with %L for milliseconds and %:z for
    +hh:mm; empty: ISO 8601.

    Example: "%H:%M:%S.%L"
    """
    output: str = ""
    """The file of standard output, relative to the directory of the app; empty:
    $GAPLESS_HOME/logs/NAME.log.

    Example: "/var/log/shop.log"
    """
    error: str = ""
    """The file of standard error; empty: that of `output`.

    Example: "/var/log/shop.err"
    """
    combined: str = ""
    """A file that gets both as well; empty: none.

    Example: "/var/log/shop-all.log"
    """
    by_instance: bool = False
    """Give each instance files of its own; its id stands before `.log`.

    Example: true
    """
    rotate_mb: Annotated[float, msgspec.Meta(ge=0)] = 10
    """A file that is larger is moved aside; 0: never.

    Example: 100
    """
    rotate_hours: Annotated[float, msgspec.Meta(ge=0)] = 0
    """A file that is older is moved aside; 0: never.

    Example: 24
    """
    keep: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5
    """How many files that were moved aside are kept.

    Example: 14
    """


class Limits(Table, frozen=True):
    """Resource limits of an instance; memory and processor are those of all of it."""

    open_files: Annotated[int, msgspec.Meta(ge=8)] | None = None
    """How many descriptors a process may have; without the key as the supervisor has
    it.

    Example: 65536
    """
    processes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """How many processes and threads the user may have.

    Example: 4096
    """
    core_mb: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """How large a core file may be.

    Example: 0
    """
    memory_mb: Annotated[float, msgspec.Meta(ge=4, le=1 << 30)] | None = None
    """The memory of all processes of an instance; beyond it the kernel ends the
    instance. Needs control groups.

    Example: 512
    """
    cpu_percent: Annotated[float, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    """The processor time of all processes of an instance; 100 is one processor. Needs
    control groups.

    Example: 150
    """


class App(Table, frozen=True):
    """An app: a program that a team runs."""

    command: Command
    """The program and its arguments: a list of words, or one text that is split as a
    shell does. No shell runs it. `{fd}` is the first socket of `listen`.

    Example: ["node", "index.js"]
    """
    directory: str = ""
    """The directory in which it runs, relative to this file; it may be the link of a
    release, which each reload resolves anew.

    Example: "dist/shop"
    """
    namespace: str = "default"
    """A word that names several apps in commands.

    Example: "web"
    """
    instances: Count | Literal["cpus"] = 1
    """How many instances run at the same time; "cpus": one for each processor.

    Example: 4
    """
    environment: dict[str, str | int | float | bool] = msgspec.field(
        default_factory=dict
    )
    """Variables, over those of the shell that started the app and of
    `environment_file`.

    Example: { PORT = 3000, NODE_ENV = "production" }
    """
    environment_file: str | tuple[str, ...] = ()
    """A file of variables, or several, relative to the directory of the app; with `-`
    in front it may be missing. Read for each generation, as the app's user.

    Example: "-.env"
    """
    listen: tuple[str, ...] = ()
    """Sockets that gapless opens and hands to the program as LISTEN_FDS, or in place of
    `{fd}`. A program that listens by itself needs none.

    Example: ["127.0.0.1:8000"]
    """
    drops: tuple[Dropped, ...] = ()
    """Ports, addresses or paths of sockets that a new generation may leave.

    Example: [9229]
    """
    outgoing: tuple[Port, ...] = ()
    """Ports of databases: an instance is not stopped before what it asked there is
    answered.

    Example: [5432]
    """
    ready: Literal["auto", "listening", "notify"] | Ready = "auto"
    """When an instance is ready: a word, or a table.

    Example: { http = "/health", timeout_s = 60 }
    """
    alive: Literal["never", "listening"] | Alive = "never"
    """Whether an instance that serves is asked if it still answers: a word, or a table.

    Example: { http = "/health", every_s = 5 }
    """
    stop: Stop = Stop()
    """How an instance is stopped.

    Example: { drain_timeout_s = 120 }
    """
    restart: Restart = Restart()
    """What happens when an instance ends by itself.

    Example: { max = 5, delay_s = 1 }
    """
    log: Log = Log()
    """Where the output goes, and when its files are rotated.

    Example: { rotate_mb = 100, keep = 14 }
    """
    limits: Limits = Limits()
    """Resource limits of an instance.

    Example: { open_files = 65536, memory_mb = 512 }
    """
    min_healthy_s: Seconds = 2.0
    """How long a new generation has to live before the old one ends; a crash before
    that switches back.

    Example: 10
    """
    overlap: MayOverlap = "auto"
    """Whether two generations may run side by side. `false`: the app holds state that
    exists once, so one instance after the other ends and starts. "auto": they may if it
    listens.

    Example: false
    """
    shared_files: Patterns = ()
    """Patterns of the paths that two generations may both write or lock.

    Example: ["data/uploads/*"]
    """
    takeover: MayTake = "auto"
    """Whether open connections go on with the new generation. "auto": but for clients
    that the app may trust less than this host.

    Example: false
    """
    affinity: Affine = "none"
    """"address": all connections of one source address come to the same instance. In a
    recycle a changed value counts after a stop and a start.

    Example: "address"
    """
    share_ports: Word = ""
    """A word: apps of the same `user` that have the same one may listen on one address, and
    each gets a part of its new connections. Not together with `affinity`.

    Example: "web"
    """
    recycle: Recycle = Recycle()
    """How an app with `overlap = false` is renewed.

    Example: { lead_s = 10, quiet_s = 4 }
    """
    renew: Renew = Renew()
    """What makes gapless begin a handoff by itself.

    Example: { memory_mb = 500 }
    """
    interception: bool = True
    """Give the program sockets of gapless when it calls bind and listen. `false`: it
    gets those of `listen` alone.

    Example: false
    """
    checks_port: bool = False
    """The program connects to its port before it binds it, to see whether it is free:
    nobody answers it there. Each connection that it opens takes longer, for its life. No
    effect with `interception = false`.

    Example: true
    """
    preload: bool = True
    """Let a Node program load what closes keep-alive connections while it drains.

    Example: false
    """
    instance_variable: str = ""
    """A variable with the number of the instance; NODE_APP_INSTANCE has it always.

    Example: "INSTANCE"
    """
    increment_variable: str = ""
    """A variable of `environment` that is larger by one in each instance.

    Example: "PORT"
    """
    pid_file: str = ""
    """A file for the pid, relative to the directory of the app; the id of the instance
    stands before `.pid`.

    Example: "run/shop.pid"
    """
    user: str = ""
    """The user that it runs as; needs a supervisor of root.

    Example: "www-data"
    """
    group: str = ""
    """The group that it runs as; empty: that of the user.

    Example: "www-data"
    """
    umask: Annotated[str | int, msgspec.Meta(title="octal digits in quotes")] = ""
    """Octal digits in quotes, as in umask(1); empty: 022.

    Example: "027"
    """
    after: tuple[str, ...] = ()
    """Apps of this file that are ready before this one starts, and end after it.

    Example: ["database"]
    """
