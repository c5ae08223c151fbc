"""What the supervisor remembers of each app while it runs.

Records change; `model` has the values that `plan` reads.  A record can be written as a
note for the keeper and read back by the next supervisor, so it holds plain data only,
but for the few fields that live in descriptors, which the keeper holds as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gapless.supervisor import model, spec
from gapless.supervisor.counts import Counts
from gapless.supervisor.model import Mode, Permit, Phase, Probe, Role
from gapless.supervisor.operations import Operation
from gapless.supervisor.outgoing import LONG_CALL_S, Call

MOST_TOLD = 5


@dataclass(slots=True)
class InstanceRecord:
    """One running copy."""

    key: str
    ordinal: int
    started: float
    phase: Phase = Phase.STARTING
    ready_at: float | None = None
    pid: int = 0
    pidfd: int = -1
    told: float | None = None
    told_why: str = ""
    killed: bool = False
    orphans_told: bool = False
    bound: set[str] = field(default_factory=set)
    """The addresses that it has bound, with a socket of its own or a shared one."""
    listens: set[str] = field(default_factory=set)
    said_ready: bool = False
    status_text: str = ""
    complaint: str = ""
    """Why one of its system calls was refused."""
    leader_alive: bool = True
    members: int = 1
    connections: int = 0
    busy: int = 0
    quiet_looks: int = 0
    mode: Mode = Mode.SERVING
    mode_since: float = 0.0
    counts: Counts | None = None
    """What its processes say that they count; None if none of them speaks."""
    begun: int = 0
    """How many requests they had begun since the drain began."""
    arrived_at: float = 0.0
    calls: tuple[Call, ...] = ()
    """What it has asked of others, and waits for; the oldest first."""

    def hear(self, total: Counts | None, now: float) -> None:
        """Take down what its processes count; a request more has arrived now.

        So has what nobody can exclude: a process does not answer, or began anew.
        """
        self.counts = total
        if total is not None:
            if total.silent or total.begun != self.begun:
                self.arrived_at = now
            self.begun = total.begun

    def value(self) -> model.Instance:
        """Return what `plan` may know of it."""
        return model.Instance(
            key=self.key,
            ordinal=self.ordinal,
            phase=self.phase,
            started=self.started,
            told=self.told,
            killed=self.killed,
            orphans_told=self.orphans_told,
            listens=frozenset(self.listens),
            said_ready=self.said_ready,
            leader_alive=self.leader_alive,
            members=self.members,
            mode=self.mode,
            mode_since=self.mode_since,
            arrived_at=self.arrived_at,
            speaks=self.counts is not None and not self.counts.unable,
            owed=self._owed(),
            silent=self.counts.silent if self.counts else 0,
            quiet_looks=self.quiet_looks,
        )

    def _owed(self) -> int:
        """Return what it has to finish before it may leave its seat, as it or we know.

        A quick call does not count: an app that serves always has one.
        """
        counted = self.counts.owed if self.counts and not self.counts.unable else 0
        return counted + sum(call.for_s >= LONG_CALL_S for call in self.calls)

    def under_way(self) -> str:
        """Name what it has not finished, as far as anybody knows; else nothing."""
        running = self.counts.running if self.counts else ()
        named = [f"{e['kind']} {e['name']}" for e in running]
        named += [f"{call.name} for {call.for_s:.1f} s" for call in self.calls]
        more = len(named) - MOST_TOLD
        said = named[:MOST_TOLD] + [f"{more} more"] * (more > 0)
        return ", ".join(said)

    def note(self) -> dict[str, Any]:
        """Return it as JSON-able data; descriptors are held by the keeper."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        del plain["pidfd"]
        return plain | {
            "phase": self.phase.value,
            "bound": sorted(self.bound),
            "listens": sorted(self.listens),
            "mode": self.mode.value,
            "counts": self.counts.to_wire() if self.counts else None,
            "calls": [call.to_wire() for call in self.calls],
        }

    @classmethod
    def read(cls, plain: dict[str, Any]) -> InstanceRecord:
        """Return the record that `note` wrote."""
        return cls(
            **{
                **plain,
                "phase": Phase(plain["phase"]),
                "bound": set(plain["bound"]),
                "listens": set(plain["listens"]),
                "mode": Mode(plain["mode"]),
                "counts": _counts(plain["counts"]),
                "calls": tuple(Call(**call) for call in plain.get("calls", ())),
            }
        )


@dataclass(slots=True)
class SeatRecord:
    """A place for an instance."""

    ordinal: int
    short_lives: int = 0
    ended: float | None = None
    why: str = ""
    code: int | None = None
    hasty: int = 0
    given_up: bool = False
    restarts: int = 0

    def value(self) -> model.Seat:
        """Return what `plan` may know of it."""
        return model.Seat(
            ordinal=self.ordinal,
            short_lives=self.short_lives,
            ended=self.ended,
            why=self.why,
            code=self.code,
            hasty=self.hasty,
            given_up=self.given_up,
        )


@dataclass(slots=True)
class GenerationRecord:
    """One set of instances of one configuration."""

    number: int
    spec: spec.AppSpec
    since: float
    lineage: int = 0
    """The generation whose sockets it uses: its own number, but for a recycle."""
    role: Role = Role.TRIAL
    seats: list[SeatRecord] = field(default_factory=list)
    instances: list[InstanceRecord] = field(default_factory=list)
    required: set[str] = field(default_factory=set)
    served: bool = False
    quiesced: bool = False
    failure: str = ""
    probe: Probe = Probe.NOT_ASKED
    probe_said: str = ""
    probe_ended: float | None = None
    sockets: set[str] = field(default_factory=set)
    """The names of its listening sockets, as the keeper holds them."""
    handshakes: set[str] = field(default_factory=set)
    """Peers whose handshake was under way when new connections left it."""
    queued: int = 0
    quiet_looks: int = 0
    lively: int = 0
    rescued: bool = False
    permit: Permit = Permit.NOT_NEEDED
    permit_asked: float | None = None
    refused: str = ""
    counts: Counts | None = None
    """What its instances that are gone counted while they drained."""
    connections_seen: int = 0
    connections_cut: int = 0
    calls_seen: int = 0
    """Calls to others that were under way while it finished."""
    calls_cut: int = 0

    def __post_init__(self) -> None:
        """Use sockets of its own unless told otherwise."""
        self.lineage = self.lineage or self.number

    def enter(self, role: Role, now: float) -> None:
        """Take on another role."""
        self.role, self.since = role, now

    def value(self) -> model.Generation:
        """Return what `plan` may know of it."""
        return model.Generation(
            number=self.number,
            role=self.role,
            since=self.since,
            seats=tuple(seat.value() for seat in self.seats),
            instances=tuple(instance.value() for instance in self.instances),
            ready=self.spec.ready,
            stop=self.spec.stop,
            restart=self.spec.restart,
            recycle=self.spec.recycle,
            min_healthy_s=self.spec.min_healthy_s,
            required=frozenset(self.required),
            served=self.served,
            quiesced=self.quiesced,
            failure=self.failure,
            probe=self.probe,
            probe_said=self.probe_said,
            probe_ended=self.probe_ended,
            queued=self.queued,
            half_open=len(self.handshakes),
            busy=sum(i.busy + len(i.calls) for i in self.instances),
            quiet_looks=self.quiet_looks,
            outgoing=bool(self.spec.outgoing),
            lively=self.lively,
            rescued=self.rescued,
            permit=self.permit,
            permit_asked=self.permit_asked,
            refused=self.refused,
        )

    def note(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {
            "spec": spec.to_wire(self.spec),
            "role": self.role.value,
            "probe": self.probe.value,
            "permit": self.permit.value,
            "seats": [
                {name: getattr(seat, name) for name in seat.__slots__}
                for seat in self.seats
            ],
            "instances": [instance.note() for instance in self.instances],
            "required": sorted(self.required),
            "sockets": sorted(self.sockets),
            "handshakes": sorted(self.handshakes),
            "counts": self.counts.to_wire() if self.counts else None,
        }

    @classmethod
    def read(cls, plain: dict[str, Any]) -> GenerationRecord:
        """Return the record that `note` wrote; a probe under way has to be asked anew."""
        return cls(
            **{
                **plain,
                "spec": spec.from_wire(plain["spec"]),
                "role": Role(plain["role"]),
                "probe": Probe.NOT_ASKED,
                "permit": _permit(
                    plain.get("permit", Permit.NOT_NEEDED.value), Role(plain["role"])
                ),
                "seats": [SeatRecord(**seat) for seat in plain["seats"]],
                "instances": [InstanceRecord.read(i) for i in plain["instances"]],
                "required": set(plain["required"]),
                "sockets": set(plain["sockets"]),
                "handshakes": set(plain["handshakes"]),
                "counts": _counts(plain["counts"]),
            }
        )


@dataclass(slots=True)
class AppRecord:
    """One app of this host."""

    name: str
    spec: spec.AppSpec
    running: bool = True
    generations: list[GenerationRecord] = field(default_factory=list)
    last_generation: int = 0
    last_serial: int = 0
    since: float = 0.0
    """When it was last started or handed off, seconds since the epoch."""
    stopped_why: str = ""
    restarts: int = 0
    ids: list[int] = field(default_factory=list)
    """One for each ordinal, unlike those of all other apps; they stay."""
    finished: bool = False
    """Not stopped by anybody: its instances ended as they were meant to."""
    exit_code: int | None = None
    """How the last instance ended: its exit code, or minus the signal's number."""
    warning: str = ""
    """What gapless cannot do for it that was asked for."""
    written: dict[str, int] = field(default_factory=dict)
    """The pid files that are there, and what is in them."""
    operation: Operation | None = None
    waiting: Operation | None = None
    last_report: dict[str, Any] | None = None
    deleted: bool = False

    def generation(self, number: int) -> GenerationRecord:
        """Return the generation of that number; raises LookupError."""
        for generation in self.generations:
            if generation.number == number:
                return generation
        raise LookupError(f"{self.name} has no generation {number}")

    def current(self) -> GenerationRecord | None:
        """Return the newest generation that serves."""
        return self.in_role(Role.SERVING, Role.PROVING, Role.RECYCLING) or self.in_role(
            Role.YIELDING
        )

    def shares_sockets(self, generation: GenerationRecord) -> bool:
        """Tell whether another generation uses the sockets of this one too."""
        return any(
            other.lineage == generation.lineage
            for other in self.generations
            if other is not generation
        )

    def in_role(self, *roles: Role) -> GenerationRecord | None:
        """Return the newest generation in one of *roles*."""
        found = [g for g in self.generations if g.role in roles]
        return found[-1] if found else None

    def instance(self, key: str) -> tuple[GenerationRecord, InstanceRecord] | None:
        """Return an instance with its generation."""
        for generation in self.generations:
            for instance in generation.instances:
                if instance.key == key:
                    return generation, instance
        return None

    def observed(self, now: float) -> model.Observed:
        """Return what `plan` may know."""
        ordered = sorted(self.generations, key=lambda g: g.number)
        return model.Observed(now=now, generations=tuple(g.value() for g in ordered))

    def note(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {
            "spec": spec.to_wire(self.spec),
            "generations": [g.note() for g in self.generations],
            "operation": self.operation.note() if self.operation else None,
            "waiting": self.waiting.note() if self.waiting else None,
        }

    @classmethod
    def read(cls, plain: dict[str, Any]) -> AppRecord:
        """Return the record that `note` wrote."""
        return cls(
            **{
                **plain,
                "spec": spec.from_wire(plain["spec"]),
                "generations": [GenerationRecord.read(g) for g in plain["generations"]],
                "operation": _operation(plain["operation"]),
                "waiting": _operation(plain["waiting"]),
            }
        )


def allot_ids(apps: dict[str, AppRecord], app: AppRecord, count: int) -> None:
    """Give an app ids for *count* ordinals, none of them anybody else's."""
    first = max((i for other in apps.values() for i in other.ids), default=-1) + 1
    app.ids += range(first, first + count - len(app.ids))


Found = tuple[AppRecord, GenerationRecord, InstanceRecord]


def find_instance(apps: dict[str, AppRecord], key: str) -> Found | None:
    """Return an instance, by its key, with its app and its generation."""
    app = apps.get(key.partition("/")[0])
    found = app.instance(key) if app else None
    return (app, *found) if app and found else None


def _permit(value: str, role: Role) -> Permit:
    """Return a permit as it was noted; who was asked is asked again.

    Also who gave it for a switch that has not come: the slot may be over meanwhile.
    """
    known = Permit(value)
    is_idle = known is Permit.GIVEN and role is Role.TRIAL
    return Permit.NEEDED if known is Permit.ASKED or is_idle else known


def _counts(plain: dict[str, Any] | None) -> Counts | None:
    return Counts.from_wire(plain) if plain else None


def _operation(plain: dict[str, Any] | None) -> Operation | None:
    return Operation.read(plain) if plain else None
