"""What a supervisor wants of one app, and what it sees of it.

Every type here is a value: frozen, comparable, free of I/O.  All times are seconds on
the caller's monotonic clock.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, TypeVar

from gapless.supervisor.memory.spec import (
    Alive,
    Ready,
    Recycle,
    Restart,
    Stop,
)

Kind = TypeVar("Kind")


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
    """Whether the client may refuse the switch: it holds a slot of a rollout."""

    NOT_NEEDED = "not needed"
    NEEDED = "needed"
    ASKED = "asked"
    GIVEN = "given"
    REFUSED = "refused"


class Takeover(Enum):
    """How far the relay is with the connections of a generation."""

    NONE = "none"  #: it has not begun
    UNDER_WAY = "under way"
    SETTLED = "settled"  #: none is left with the processes, and none waits
    OFF = "off"  #: it cannot


class Probe(Enum):
    """What is known of an HTTP probe of a generation."""

    NOT_ASKED = "not asked"
    UNDER_WAY = "under way"
    PASSED = "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSeen:
    """What was seen of the files of a generation, and of those that serve beside it."""

    seen_at: float | None = None
    """When they were compared last."""
    ready_since: float | None = None
    """When they were first compared with nothing else missing before the switch."""
    ready_seen_at: float | None = None
    """When that was done last."""
    rivals: bool = False
    """Whether the others hold state, so that it matters which files it opens."""
    cpu_ticks: int = 0
    """How much its processes had computed."""
    quiet_since: float | None = None
    """Since when they wait, and compute next to nothing; None while they do."""
    conflict: str = ""
    """What it shares and may not, as the last look showed."""
    conflict_since: float | None = None
    lasting: frozenset[str] | None = None
    """What the others held at every look; None before the first."""
    took_s: float = 0.0
    """How long the last look took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One running copy: its leader and every process that came from it."""

    key: str
    ordinal: int
    phase: Phase
    started: float
    spawned: bool = True
    """Whether the keeper has started it; until then there is nothing to signal."""
    stop_sent_at: float | None = None
    """When it was sent the stop signal."""
    killed: bool = False
    kill_sent_at: float | None = None
    """When it was sent SIGKILL last."""
    orphans_signalled: bool = False
    """Whether the processes that its leader left behind were sent the stop signal too."""
    listens: frozenset[str] = frozenset()
    """The addresses on which it listens."""
    covers: frozenset[str] = frozenset()
    """Addresses of the generation before whose connections come to a wider one of it."""
    listened_at: float = 0.0
    """When it began to listen on one more address."""
    notified_ready: bool = False
    narrow: str = ""
    """Why it may not have an address that it has bound: one inside the one that serves."""
    look_at: float | None = None
    """When it is seen whether it still has what it has bound; None if that is known."""
    narrow_kept: bool = False
    """Whether it still had that address then."""
    leader_alive: bool = True
    alive_failures: int = 0
    """How many checks of its liveness have failed in a row."""
    alive_answer: str = ""
    """Why the last one failed; empty if it passed."""
    proved_alive: bool = False
    """Whether a check has ever passed."""
    replaces: str = ""
    """The key of an instance that hangs, in the same seat: it was started for it."""
    hung: bool = False
    """Whether it ends because it hangs; another one has its seat."""
    files: FilesSeen = field(default_factory=FilesSeen)
    """What a successor shares with the instance that hangs."""
    detached_at: float | None = None
    """When its leader ended as one that goes into the background; no other is known."""
    process_count: int = 1
    """How many of its processes live; counted while it is draining."""
    mode: Mode = Mode.SERVING
    mode_since: float = 0.0
    last_request_at: float = 0.0
    """When a request was last seen to come while it leaves."""
    counts_itself: bool = False
    """Whether it counts its procedures itself; it may run some before it is asked."""
    owed: int = 0
    """Requests and procedures that it counts itself, without refusals; processes that have
    not answered yet; and calls to databases that last long."""
    silent: int = 0
    """How much of that are processes that have not answered the last order yet."""
    idle_checks: int = 0
    """Checks in a row at which it owed nothing."""
    moved_at: float = 0.0
    """When bytes were last seen to go one way or the other, while it finishes."""
    connections: int = 0
    """Open connections, counted while it finishes."""
    takeover: Takeover = Takeover.NONE
    """How far the relay is with its connections, where it ends and others do not."""
    takeover_until: float = 0.0
    """Until when it is left alive for that, if it hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A place for an instance in a generation, and how the last instances ended."""

    ordinal: int
    short_lives: int = 0
    """How many instances in a row lived too short."""
    exited_at: float | None = None
    """When the last instance ended."""
    exit_reason: str = ""
    """How the last instance ended."""
    exit_code: int | None = None
    """Its exit code; None if a signal ended it."""
    quick_exits: int = 0
    """How many instances in a row lived less than `decide.restarts.LONG_LIFE_S`."""
    given_up: bool = False
    expected: frozenset[str] = frozenset()
    """The addresses that its instance has to listen on: those of the generation before."""
    listened: bool = False
    """The generation before listened somewhere, so its instance has to as well."""
    listened_itself: bool = False
    """One of its own instances that have ended listened when it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One set of instances of one configuration."""

    number: int
    role: Role
    since: float
    """When it entered its role."""
    seats: tuple[Seat, ...]
    not_late_before: float = 0.0
    """Until then none of its instances is late: nobody has heard them for a while."""
    instances: tuple[Instance, ...] = ()
    ready: Ready = field(default_factory=Ready)
    alive: Alive = field(default_factory=Alive)
    overlaps: bool = True
    """Whether an instance may start while another one is in its seat."""
    follows: int = 0
    """The generation whose place it is to take; 0 for a first start, or once it has it."""
    alone: bool = False
    """Whether one starts there only when nothing is left of the one before."""
    stop: Stop = field(default_factory=Stop)
    restart: Restart = field(default_factory=Restart)
    recycle: Recycle = field(default_factory=Recycle)
    min_healthy_s: float = 2.0
    required: frozenset[str] = frozenset()
    """Addresses on which each instance must listen to be ready, by the configuration."""
    waits_named: bool = False
    """Whether it was told that an instance does not listen where it is expected to."""
    served: bool = False
    """Whether new connections were ever sent to it."""
    quiesced: bool = False
    failure: str = ""
    probe: Probe = Probe.NOT_ASKED
    probe_answer: str = ""
    """The answer to the last probe that did not pass."""
    probe_ended_at: float | None = None
    queued: int = 0
    """Connections that wait to be accepted."""
    half_open: int = 0
    """Handshakes that were under way when new connections left this generation."""
    busy: int = 0
    """On how many connections something is owed, by its instances or to them."""
    idle_checks: int = 0
    """Checks in a row that saw nothing queued, half open or busy."""
    unseen: bool = False
    """Its connections cannot be seen now, so that it is not known to be idle."""
    watches_calls: bool = False
    """Whether the kernel is asked for its calls to databases."""
    active_connections: int = 0
    """Open connections on which a request may follow soon."""
    connections: int = 0
    """Open connections."""
    takes_over: bool = True
    """Whether its connections may be taken, so that they outlive its processes."""
    takeover: Takeover = Takeover.NONE
    relayed: bool = False
    """A relay serves what its dead instances left in the queue."""
    permit: Permit = Permit.NOT_NEEDED
    permit_asked_at: float | None = None
    """When the client was asked to permit the switch."""
    permit_refusal: str = ""
    """Why the switch was not permitted."""
    held: bool = False
    """It does not start yet: apps come up that its app is after, or its files are read."""
    reads_files: bool = False
    """Its environment files are still read: no instance of it starts meanwhile."""
    files: FilesSeen = field(default_factory=FilesSeen)

    def seat_of(self, instance: Instance) -> Seat:
        """Return the seat of one of its instances."""
        return next(s for s in self.seats if s.ordinal == instance.ordinal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What was asked for."""

    running: bool = True
    draining: bool = False
    """The whole host leaves service: every request is refused."""
    lead_s: float | None = None
    """How long, at most, balancers are told before; None: as each app says."""
    may_start: int | None = None
    """How many instances may start now, as many others start already; None: any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is there, all at one moment; generations oldest first."""

    now: float
    generations: tuple[Generation, ...] = ()


def view(kind: type[Kind], record: object, **others: Any) -> Kind:
    """Return a value whose fields are the record's of the same name, but for *others*.

    Sets are frozen.
    """
    wanted: Any = kind
    names, get = _getter(wanted, tuple(others))
    own = dict(zip(names, get(record), strict=True))
    for name, value in own.items():
        if type(value) is set:
            own[name] = frozenset(value)
    return kind(**own, **others)


@functools.cache
def _getter(
    kind: Any, others: tuple[str, ...]
) -> tuple[tuple[str, ...], Callable[[object], tuple[Any, ...]]]:
    """Return the names of the fields but for *others*, and what reads all of them."""
    names = tuple(each.name for each in fields(kind) if each.name not in others)
    return names, operator.attrgetter(*names)
