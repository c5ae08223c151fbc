"""What an app is asked to be: plain values, the same on disk, on the wire and here.

`config` makes them from a gapless.toml; `supervisor` acts on them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """How an instance is told to end, and how long it may take."""

    signal: str = "SIGTERM"
    message: bool = False
    """Send "shutdown" on Node's channel in place of the signal."""
    drain_timeout_s: float = 30.0
    kill_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """What happens when an instance ends by itself."""

    max: int = 16
    """How many short lives in a row are forgiven."""
    min_uptime_s: float = 1.0
    """A life shorter than this is a short one."""


class Overlap(Enum):
    """Whether two generations may run side by side."""

    AUTO = "auto"  #: if the app listens
    ALWAYS = "always"  #: handoff
    NEVER = "never"  #: recycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Recycle:
    """How an app is recycled."""

    max_unavailable: int = 1
    """How many instances may be out at the same time."""
    lead_s: float = 0.0
    """How long its health path says no before requests are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Where the output of an app goes."""

    format: str = "text"
    """text or json."""
    date_format: str = ""
    """strftime(3); empty means ISO 8601 with milliseconds."""
    output: str = ""
    """A path; empty means the app's log in GAPLESS_HOME."""
    error: str = ""
    """A path; empty means the same file as `output`."""
    rotate_bytes: int = 10 * 1024 * 1024
    rotate_s: float = 0.0
    """Rotate a file that is older than this; 0 means never by age."""
    keep: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Resource limits of an instance (setrlimit(2)); None leaves what is."""

    open_files: int | None = None
    processes: int | None = None
    core_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSpec:
    """One generation's worth of configuration: all that is needed to start it."""

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
    instances: int = 1
    listen: tuple[str, ...] = ()
    """`host:port` sockets handed to the app as LISTEN_FDS or `{fd}`."""
    ready: Ready = field(default_factory=Ready)
    stop: Stop = field(default_factory=Stop)
    restart: Restart = field(default_factory=Restart)
    log: Log = field(default_factory=Log)
    limits: Limits = field(default_factory=Limits)
    min_healthy_s: float = 2.0
    overlap: Overlap = Overlap.AUTO
    recycle: Recycle = field(default_factory=Recycle)
    interception: bool = True
    user: str = ""
    group: str = ""
    config_file: str = ""
    """Where this was read from; empty if it came from the command line."""
    release: str = ""
    """The release that `directory` is, if it is one."""


def to_wire(spec: AppSpec) -> dict[str, Any]:
    """Return *spec* as JSON-able data."""
    plain = dataclasses.asdict(spec)
    plain["ready"]["when"] = spec.ready.when.value
    plain["overlap"] = spec.overlap.value
    return plain


def from_wire(plain: dict[str, Any]) -> AppSpec:
    """Return the spec that `to_wire` wrote.

    Raises KeyError, TypeError or ValueError if it is none; an older one is filled
    with the defaults.
    """
    ready = dict(plain.get("ready", {}))
    if "when" in ready:
        ready["when"] = When(ready["when"])
    return AppSpec(
        **{
            **plain,
            "command": tuple(plain["command"]),
            "listen": tuple(plain.get("listen", ())),
            "configured": tuple(plain.get("configured", ())),
            "ready": Ready(**ready),
            "stop": Stop(**plain.get("stop", {})),
            "restart": Restart(**plain.get("restart", {})),
            "overlap": Overlap(plain.get("overlap", "auto")),
            "recycle": Recycle(**plain.get("recycle", {})),
            "log": Log(**plain.get("log", {})),
            "limits": Limits(**plain.get("limits", {})),
        }
    )
