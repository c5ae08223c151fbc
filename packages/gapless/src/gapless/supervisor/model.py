"""What a supervisor wants of one app, what it sees of it, and what it can do.

Every type here is a value: frozen, comparable, free of I/O.  All times are seconds on
the caller's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from gapless.supervisor.spec import Ready, Recycle, Restart, Stop


class Phase(Enum):
    """Where an instance is in its life; one that is gone is not seen any more."""

    STARTING = "starting"  #: spawned, not ready yet
    READY = "ready"  #: can serve
    DRAINING = "draining"  #: was told to end, or lost its leader


class Role(Enum):
    """What a generation is to its app."""

    TRIAL = "trial"  #: starts; takes no new connection yet
    PROVING = "proving"  #: takes new connections; the one before stands by
    SERVING = "serving"  #: has proved itself
    STANDBY = "standby"  #: untouched, so that it can take the connections back
    RETIRING = "retiring"  #: finishes what it began, then ends
    RECYCLING = "recycling"  #: takes the seats of the one before, a few at a time
    YIELDING = "yielding"  #: serves, and gives its seats to the one that recycles


class Mode(Enum):
    """What an instance was told of draining (spec/drain.md)."""

    SERVING = "serving"  #: nothing
    LEAVING = "leaving"  #: its health path says no
    HANDOFF = "handoff"  #: serve what comes on open connections, and close them
    RECYCLE = "recycle"  #: refuse what is new


class Permit(Enum):
    """Whether somebody else has a say in the switch: the holder of a slot (rollout)."""

    NOT_NEEDED = "not needed"
    NEEDED = "needed"
    ASKED = "asked"
    GIVEN = "given"
    REFUSED = "refused"


class Probe(Enum):
    """What is known of an HTTP probe of a generation."""

    NOT_ASKED = "not asked"
    UNDER_WAY = "under way"
    PASSED = "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One running copy: its leader and every process that came from it."""

    key: str
    ordinal: int
    phase: Phase
    started: float
    told: float | None = None
    """When it was sent the stop signal."""
    killed: bool = False
    orphans_told: bool = False
    """Whether what its leader left behind was sent the stop signal as well."""
    listens: frozenset[str] = frozenset()
    """The addresses on which it listens."""
    said_ready: bool = False
    leader_alive: bool = True
    members: int = 1
    """How many of its processes live; counted while it is draining."""
    mode: Mode = Mode.SERVING
    mode_since: float = 0.0
    arrived_at: float = 0.0
    """When a request was last seen to come while it leaves."""
    speaks: bool = False
    """Whether it counts its procedures itself; before it is asked it may run some."""
    owed: int = 0
    """Requests and procedures that it counts itself, refusals not among them, what did
    not answer yet, and what it waits for from others for long."""
    silent: int = 0
    """How much of that are processes that have not answered the last order yet."""
    quiet_looks: int = 0
    """Looks in a row at which it owed nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A place for an instance in a generation, and what became of its holders."""

    ordinal: int
    short_lives: int = 0
    """How many holders in a row lived too short."""
    ended: float | None = None
    """When the last holder ended."""
    why: str = ""
    """How the last holder ended."""
    code: int | None = None
    """Its exit code; None if a signal ended it."""
    hasty: int = 0
    """How many holders in a row lived less than `restarting.LONG_LIFE_S`."""
    given_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One set of instances of one configuration."""

    number: int
    role: Role
    since: float
    """When it entered its role."""
    seats: tuple[Seat, ...]
    instances: tuple[Instance, ...] = ()
    ready: Ready = field(default_factory=Ready)
    stop: Stop = field(default_factory=Stop)
    restart: Restart = field(default_factory=Restart)
    recycle: Recycle = field(default_factory=Recycle)
    min_healthy_s: float = 2.0
    required: frozenset[str] = frozenset()
    """Addresses on which each instance must listen to be ready."""
    served: bool = False
    """Whether new connections were ever sent to it."""
    quiesced: bool = False
    failure: str = ""
    probe: Probe = Probe.NOT_ASKED
    probe_said: str = ""
    """What the last probe that did not pass was told."""
    probe_ended: float | None = None
    queued: int = 0
    """Connections that wait to be accepted."""
    half_open: int = 0
    """Handshakes that were under way when new connections left this generation."""
    busy: int = 0
    """Connections of its instances on which an answer is owed, by them or to them."""
    quiet_looks: int = 0
    """Looks in a row that saw nothing queued, half open or busy."""
    outgoing: bool = False
    """Whether the kernel is asked for what its instances wait for from others."""
    lively: int = 0
    """Open connections on which a request may follow soon."""
    rescued: bool = False
    """A relay serves what its dead instances left in the queue."""
    permit: Permit = Permit.NOT_NEEDED
    permit_asked: float | None = None
    """When whoever has to permit the switch was asked."""
    refused: str = ""
    """Why the switch was not permitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What was asked for."""

    running: bool = True
    draining: bool = False
    """The whole host leaves service: every request is refused."""
    lead_s: float | None = None
    """How long, at most, balancers are told before; None: as each app says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is there, all at one moment; generations oldest first."""

    now: float
    generations: tuple[Generation, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """Spawn an instance in a seat."""

    generation: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class Ripen:
    """Count an instance as ready."""

    key: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Send an HTTP probe to a generation through the real port."""

    generation: int


@dataclass(frozen=True, slots=True)
class AskPermit:
    """Ask whoever wished for a generation whether it may still switch."""

    generation: int


@dataclass(frozen=True, slots=True)
class Switch:
    """Send new connections to a generation; the one before stands by."""

    generation: int


@dataclass(frozen=True, slots=True)
class Prove:
    """Let the generations before retire: this one lived long enough."""

    generation: int


@dataclass(frozen=True, slots=True)
class Revert:
    """Give the new connections back to the generation that stands by."""

    generation: int
    to: int
    reason: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Make a generation finish; with `reason`, since it failed."""

    generation: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Quiesce:
    """Let no new connection begin on sockets for which no generation follows."""

    generation: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Let new connections begin again: what `Quiesce` was for has ended."""

    generation: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell an instance to drain, in a mode, or to go back to serving."""

    key: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class Tell:
    """Send an instance its stop signal; `reason` says why now."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End every process of an instance now.  Never silent."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Start no more holders of a seat."""

    generation: int
    ordinal: int
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Count an app as stopped: every instance has ended, as it was meant to."""

    generation: int


@dataclass(frozen=True, slots=True)
class Rescue:
    """Serve what waits in the queue of a generation that has no instance left."""

    generation: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close the sockets of a generation that is over, and forget it."""

    generation: int


Action = (
    Start
    | Ripen
    | Ask
    | AskPermit
    | Switch
    | Prove
    | Revert
    | Retire
    | Quiesce
    | Resume
    | Drain
    | Tell
    | Kill
    | GiveUp
    | Finish
    | Rescue
    | Close
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, and when to look again if nothing happens before."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
