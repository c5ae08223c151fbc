"""What an app is asked to be: plain values, the same on disk, on the wire and here.

`config` makes them from a gapless.toml; `supervisor` acts on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar


class When(Enum):
    """What makes an instance ready."""

    AUTO = "auto"
    LISTENING = "listening"
    NOTIFY = "notify"
    HTTP = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """When an instance counts as ready, and how long it may take."""

    when: When = When.AUTO
    timeout_s: float = 30.0
    path: str = "/"
    """What an HTTP probe asks for; 2xx and 3xx pass."""


class Asks(Enum):
    """What a check of liveness asks of an instance."""

    NEVER = "never"  #: there is none
    LISTENING = "listening"  #: that it accepts a connection
    HTTP = "http"  #: that it answers a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """When an instance that serves counts as hanging."""

    when: Asks = Asks.NEVER
    path: str = "/"
    """What is asked for by HTTP; 2xx and 3xx pass."""
    every_s: float = 10.0
    timeout_s: float = 5.0
    """How long it may take to accept the connection and to answer."""
    failures: int = 3
    """How many checks in a row fail before it counts as hanging."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """How an instance is stopped, and how long it may take."""

    signal: str = "SIGTERM"
    message: bool = False
    """Send "shutdown" on Node's channel in place of the signal."""
    drain_timeout_s: float = 30.0
    kill_timeout_s: float = 5.0
    tree: bool = True
    """End what the leader started too; else it is left alone when the leader is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """What happens when an instance ends by itself."""

    automatic: bool = True
    """Start it again at all."""
    max: int = 16
    """How many short lives in a row are forgiven."""
    min_uptime_s: float = 1.0
    """A life shorter than this is a short one."""
    delay_s: float | None = None
    """Before each start after an end; None: none, but longer after short lives."""
    backoff_s: float = 0.0
    """The first of delays that grow by half up to 15 s, until a life of 30 s; 0: none."""
    stop_exit_codes: tuple[int, ...] = ()
    """Exit codes that mean: done, do not start it again."""
    first: bool = False
    """Try a first start again as any later one; else its first crash ends it."""


class Overlap(Enum):
    """Whether two generations may run side by side."""

    AUTO = "auto"  #: if the app listens
    ALWAYS = "always"  #: handoff
    NEVER = "never"  #: recycle


class Taking(Enum):
    """Whether connections are taken from generations that end."""

    AUTO = "auto"  #: yes, but for clients that an app may trust less than this host
    ALWAYS = "always"
    NEVER = "never"


class Affinity(Enum):
    """Which instance gets a new connection."""

    NONE = "none"  #: any
    ADDRESS = "address"  #: the one that gets all of the same source address


@dataclass(frozen=True, slots=True, kw_only=True)
class Recycle:
    """How an app is recycled."""

    max_unavailable: int = 1
    """How many instances may be out at the same time."""
    lead_s: float = 0.0
    """How long, at most, its health path says no before requests are refused."""
    quiet_s: float = 1.0
    """The balancer has reacted if no request came for so long: twice its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """What makes gapless hand an app over to a new generation by itself."""

    memory_bytes: int = 0
    """The largest process of an instance may have this much memory (RSS); 0: any."""
    cron: str = ""
    """When, as in crontab(5); a sixth field in front is seconds."""
    watch: tuple[str, ...] = ()
    """Files and directories whose change is a reason."""
    ignore: tuple[str, ...] | None = None
    """What of them is not; None means dotfiles and node_modules."""
    watch_delay_s: float = 0.2
    """How long nothing more may change before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Where the output of an app goes."""

    format: str = "text"
    """text, plain (as printed, unless there is a date format), json or pm2-json."""
    date_format: str = ""
    """strftime(3), %L for milliseconds, %:z for +hh:mm; empty means ISO 8601."""
    output: str = ""
    """A path; empty means the app's log in GAPLESS_HOME."""
    error: str = ""
    """A path; empty means the same file as `output`."""
    combined: str = ""
    """A path that gets both streams as well; empty means none."""
    by_instance: bool = False
    """Each instance has files of its own: its id before `.log`."""
    own: tuple[str, ...] = ()
    """Of output, error, combined: files of the user's, whose mode is by his umask."""
    rotate_own: bool = False
    """Move those aside as well."""
    rotate_bytes: int = 10 * 1024 * 1024
    rotate_s: float = 0.0
    """Rotate a file that is older than this; 0 means never by age."""
    keep: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Resource limits of an instance; None leaves what is.

    Those of a process (setrlimit(2)), and those of all of it, by its control group.
    """

    open_files: int | None = None
    processes: int | None = None
    core_bytes: int | None = None
    memory_bytes: int | None = None
    """Memory of all its processes together: beyond it the kernel kills (memory.max)."""
    cpu_percent: float | None = None
    """Processor time of all its processes together; 100 is one processor (cpu.max)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSpec:
    """One generation's worth of configuration: all that is needed to start it."""

    encoded_once: ClassVar[bool] = True
    """It is in each note of its app, and never changes (base.codec)."""

    name: str
    command: tuple[str, ...]
    """The program and its arguments; `{fd}` stands for the first given socket."""
    directory: str
    """Absolute, every symlink resolved: where the instances run."""
    declared_directory: str = ""
    """As configured; a reload resolves it anew."""
    environment: dict[str, str] = field(default_factory=dict)
    """All of it, but for what gapless adds itself."""
    configured: tuple[str, ...] = ()
    """The names of variables that come from the configuration, not from the caller."""
    environment_files: tuple[str, ...] = ()
    """Files of variables, relative to `directory`; a `-` in front: it may be missing."""
    namespace: str = "default"
    """A word for several apps."""
    instances: int = 1
    instance_variable: str = ""
    """A variable besides NODE_APP_INSTANCE that holds the ordinal."""
    increment_variable: str = ""
    """A variable that is larger by the ordinal in each instance."""
    announce: bool = False
    """Tell the program its name, namespace and id in variables, as PM2 does."""
    preload: bool = True
    """Let Node programs load what closes keep-alive connections while they drain."""
    survives_rejections: bool = False
    """Let a Node program log a promise's unhandled rejection, and go on, as PM2 does."""
    pid_file: str = ""
    """A path; the id of the instance is put before its `.pid`; empty means none."""
    listen: tuple[str, ...] = ()
    """`host:port` sockets handed to the app as LISTEN_FDS or `{fd}`."""
    drops: tuple[str, ...] = ()
    """Ports, or `host:port`, that a new generation may leave."""
    outgoing: tuple[int, ...] = ()
    """Remote ports, of databases: what was asked there has to be answered before a stop."""
    ready: Ready = field(default_factory=Ready)
    alive: Alive = field(default_factory=Alive)
    stop: Stop = field(default_factory=Stop)
    restart: Restart = field(default_factory=Restart)
    log: Log = field(default_factory=Log)
    limits: Limits = field(default_factory=Limits)
    min_healthy_s: float = 2.0
    overlap: Overlap = Overlap.AUTO
    shared_files: tuple[str, ...] = ()
    """Files that two generations may both write or lock, as patterns of paths."""
    recycle: Recycle = field(default_factory=Recycle)
    renew: Renew = field(default_factory=Renew)
    interception: bool = True
    checks_port: bool = False
    """The program connects to its port before it binds it, to see whether it is free."""
    takeover: Taking = Taking.AUTO
    affinity: Affinity = Affinity.NONE
    share_ports: str = ""
    """A word: apps that have the same one may listen on one address; empty: none may."""
    user: str = ""
    group: str = ""
    umask: str = ""
    """Octal digits, as in umask(1); empty means 022."""
    after: tuple[str, ...] = ()
    """Apps that are ready before this one starts, and end after it, if they do so too."""
    config_file: str = ""
    """Where this was read from; empty if it came from the command line."""
    started_in: str = ""
    """Where the command was typed that started it: what is relative is so to there."""
    mode: str = "fork"
    """What PM2 would call it: fork or cluster."""
    autostart: bool = True
    """Whether to start it when its file is started."""
    profile: str = ""
    """The environment of the file that was chosen with --env."""
    label: str = ""
    """How the file calls it, if that is not its name here."""
    alias: str = ""
    """What PM2 would call it, if that is not its name: several apps may have one."""
    arguments: tuple[tuple[str, str], ...] = ()
    """Options of the command line that stand above the file: key and JSON."""
    release: str = ""
    """The release that `directory` is, if it is one."""
