"""What the supervisor remembers of a generation."""

from __future__ import annotations

from dataclasses import dataclass, field

from gapless.base.codec import TRANSIENT, was
from gapless.base.errors import GaplessError
from gapless.supervisor.memory import model, spec
from gapless.supervisor.memory.counts import Counts
from gapless.supervisor.memory.instances import InstanceRecord, SeatRecord, is_multicast
from gapless.supervisor.memory.model import (
    FilesSeen,
    Mode,
    Permit,
    Probe,
    Role,
    Takeover,
)

WATCHED_S = 2.0
"""How long one that takes over watches a generation at least before it judges it."""


@dataclass(slots=True)
class GenerationRecord:
    """One set of instances of one configuration."""

    number: int
    spec: spec.AppSpec
    since: float
    sockets_of: int = field(default=0, metadata=was("lineage"))
    """The generation whose sockets it uses: its own number, but for a recycle."""
    role: Role = Role.TRIAL
    follows: int = 0
    """The generation that served when it began, until it is proven; 0: none."""
    seats: list[SeatRecord] = field(default_factory=list)
    instances: list[InstanceRecord] = field(default_factory=list)
    required: set[str] = field(default_factory=set)
    not_late_before: float = field(default=0.0, compare=False, metadata=TRANSIENT)
    """Until then none of its instances is late: nobody has heard them for a while."""
    waits_named: bool = field(default=False, metadata=TRANSIENT)
    served: bool = False
    quiesced: bool = False
    failure: str = ""
    probe: Probe = Probe.NOT_ASKED
    probe_answer: str = field(default="", metadata=was("probe_said"))
    probe_ended_at: float | None = field(default=None, metadata=was("probe_ended"))
    sockets: set[str] = field(default_factory=set)
    """The names of its listening sockets, as the keeper holds them."""
    handshakes: set[str] = field(default_factory=set)
    """Peers whose handshake was under way when new connections left it."""
    queued: int = 0
    idle_checks: int = field(default=0, metadata=TRANSIENT)
    file_variables: dict[str, str] | None = field(default=None, metadata=TRANSIENT)
    """What its environment files held when it began; never written: there are secrets."""
    file_failure: GaplessError | None = field(default=None, metadata=TRANSIENT)
    """Why they could not be read when that was tried last."""
    file_failure_until: float = field(default=0.0, metadata=TRANSIENT)
    """Until when it is not tried again."""
    file_answers: dict[str, tuple[int, bytes] | None] = field(
        default_factory=dict, repr=False, metadata=TRANSIENT
    )
    """By path: what was read, while not all of them are; None for one that still is."""
    files_asked_at: float | None = field(default=None, metadata=TRANSIENT)
    """Since when they are read, while they are."""
    declares_trust: bool = False
    """Its variables, those of its files too, name addresses to trust (`act.trust`)."""
    active_connections: int = field(default=0, metadata=was("lively"))
    relayed: bool = field(default=False, metadata=was("rescued"))
    permit: Permit = Permit.NOT_NEEDED
    permit_asked_at: float | None = field(default=None, metadata=was("permit_asked"))
    permit_refusal: str = field(default="", metadata=was("refused"))
    files: FilesSeen = field(default_factory=FilesSeen, metadata=TRANSIENT)
    """What it shares on disk with those that serve; the next supervisor looks itself."""
    hint: str = ""
    """What to do about its failure."""
    excludes: str = ""
    """Why none of its instances may have a successor beside it: what both would have."""
    counts: Counts | None = None
    """What its instances that are gone counted while they drained."""
    unseen: bool = False
    """Its connections could not be seen at the last look while it finished."""
    takeover: Takeover = field(default=Takeover.NONE, metadata=TRANSIENT)
    takeover_trouble: str = ""
    """Why its connections could not be taken."""
    relay_starts: int = field(default=0, metadata=TRANSIENT)
    relay_prepared: bool = field(default=False, metadata=TRANSIENT)
    """The relay was started before its connections were to be taken."""
    connections_taken: int = 0
    """Connections that outlived their process, or carried a request to the next one."""
    connections_given_back: int = 0
    """How often one was left to its process after all."""
    takeover_cut: int = 0
    """Taken connections whose request got no whole answer."""
    connections_seen: int = 0
    connections_cut: int = 0
    connections_unknown: int = 0
    """Connections that were open and silent when their process ended."""
    calls_seen: int = 0
    """Calls to databases that were under way while it finished."""
    calls_cut: int = 0
    waits_for: set[str] = field(default_factory=set)
    """The apps that have to be ready before its first instance starts."""
    order_remarks: list[str] = field(default_factory=list)
    """Which apps that its app is after had not come up when it started, and why."""

    def __post_init__(self) -> None:
        """Use sockets of its own unless told otherwise."""
        self.sockets_of = self.sockets_of or self.number

    @property
    def half_open(self) -> int:
        """How many handshakes are under way that began before new connections left it."""
        return len(self.handshakes)

    @property
    def held(self) -> bool:
        """Whether it waits for other apps before it starts."""
        return bool(self.waits_for)

    @property
    def reads_files(self) -> bool:
        """Whether its environment files are still read: no instance starts meanwhile."""
        return self.files_asked_at is not None

    @property
    def awaits_files(self) -> bool:
        """Whether its environment files are read, or were when a supervisor ended."""
        known = self.file_variables is not None or self.file_failure is not None
        unread = bool(self.spec.environment_files) and not known
        return self.reads_files or (unread and self._is_new)

    @property
    def busy(self) -> int:
        """On how many connections something is owed, by its instances or to them."""
        return sum(each.busy + len(each.calls) for each in self.instances)

    @property
    def connections(self) -> int:
        """How many connections its instances have open."""
        return sum(each.connections for each in self.instances)

    @property
    def alone(self) -> bool:
        """Whether an instance starts only when nothing is left of the one in its seat.

        What may overlap if it listens may not as long as it does not; nor may what shares
        a multicast group, of which each process would get every datagram.
        """
        match self.spec.overlap:
            case _ if self.excludes:
                return True
            case spec.Overlap.AUTO:
                listens = bool(self.sockets or self.spec.listen)
                bound = {each for instance in self.instances for each in instance.bound}
                return not listens or any(map(is_multicast, bound))
            case overlap:
                return overlap is spec.Overlap.NEVER

    @property
    def _is_new(self) -> bool:
        """Whether nothing of it has begun, and what serves need not make room yet."""
        return not self.instances and self.role in (Role.TRIAL, Role.RECYCLING)

    def enter(self, role: Role, now: float) -> None:
        """Take on another role."""
        self.role, self.since = role, now

    def value(self) -> model.Generation:
        """Return what the plan may know of it."""
        return model.view(
            model.Generation,
            self,
            held=self.held or (self.reads_files and self._is_new),
            seats=tuple(seat.value() for seat in self.seats),
            instances=tuple(instance.value() for instance in self.instances),
            ready=self.spec.ready,
            alive=self.spec.alive,
            overlaps=self.spec.overlap is not spec.Overlap.NEVER and not self.excludes,
            stop=self.spec.stop,
            restart=self.spec.restart,
            recycle=self.spec.recycle,
            min_healthy_s=self.spec.min_healthy_s,
            watches_calls=bool(self.spec.outgoing),
            takes_over=self.spec.takeover is not spec.Taking.NEVER,
        )

    def doubt(self, now: float) -> None:
        """Take back what a supervisor that died may have left undone.

        Nothing is proven by time in which nobody watched: its program may have waited for
        an answer of ours.  And nothing is late by it: what a program has said meanwhile,
        and the calls in which it waits, come after all that the keeper has.  Nor has a
        balancer left one alone to which nobody saw it come.

        A probe under way has to be sent anew.  A permit that was asked for is asked for
        again, and so is one that was given for a switch that has not come: the slot may
        be over meanwhile.
        """
        self.not_late_before = now + WATCHED_S
        for instance in self.instances:
            if instance.mode is Mode.LEAVING:
                instance.last_request_at = now
        if self.role in (Role.PROVING, Role.RECYCLING):
            needed_s = self.spec.min_healthy_s
            self.since = max(self.since, now - needed_s + min(needed_s, WATCHED_S))
        self.probe = Probe.NOT_ASKED
        unused = self.permit is Permit.GIVEN and self.role is Role.TRIAL
        if self.permit is Permit.ASKED or unused:
            self.permit = Permit.NEEDED
