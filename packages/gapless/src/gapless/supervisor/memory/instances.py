"""What the supervisor remembers of an instance, and of its seat.

Records change; `model` has the values that the plan reads, field by field of the same name.
A record is written as a note for the keeper and read by the next supervisor (base.codec).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gapless.base.codec import TRANSIENT, was
from gapless.supervisor.memory import model
from gapless.supervisor.memory.calls import LONG_CALL_S, Call
from gapless.supervisor.memory.counts import Counts
from gapless.supervisor.memory.model import FilesSeen, Mode, Phase, Takeover

MULTICAST = "multicast:"
"""Before an address of `bound` that is a group which an instance has joined."""
MOST_NAMED = 5
MOST_BOUND = 1024
"""Addresses are noted, and written, at each change."""


@dataclass(slots=True)
class InstanceRecord:
    """One running copy."""

    key: str
    ordinal: int
    started: float
    phase: Phase = Phase.STARTING
    ready_at: float | None = None
    incarnation: str = ""
    """The keeper that was asked to start it; empty in notes of older versions."""
    pid: int = 0
    """0 until the keeper has started it."""
    pidfd: int = field(default=-1, metadata=TRANSIENT)
    leader_ticks: int = 0
    """When its leader started, since boot: with the pid it names the process for good."""
    session: int = 0
    """The session of a leader that another process began; 0: its own."""
    session_ticks: int = 0
    """When the process started that began the session; 0 if it was gone."""
    detached_at: float | None = None
    """When its leader ended as one that goes into the background; no other is known."""
    detached_code: int | None = None
    """The exit code of that leader; None if nobody knows it."""
    background: bool = False
    """Whether its leader is a process that the first one left behind."""
    filter_in_use: bool = field(default=False, metadata=TRANSIENT)
    """Whether its leader has left processes behind, by the word of the keeper."""
    cgroup: str = ""
    """The directory of its control group; empty without one."""
    limits_trouble: str = ""
    """Which of its limits have no effect, and why."""
    pipes: set[int] = field(default_factory=set)
    """The inodes of the pipes to its logs."""
    stop_sent_at: float | None = field(default=None, metadata=was("told"))
    stop_reason: str = field(default="", metadata=was("told_why"))
    killed: bool = False
    kill_sent_at: float | None = None
    """When it was sent SIGKILL last."""
    orphans_signalled: bool = field(default=False, metadata=was("orphans_told"))
    bound: set[str] = field(default_factory=set)
    """The addresses that it has bound, with a socket of its own or a shared one."""
    listens: set[str] = field(default_factory=set)
    covers: set[str] = field(default_factory=set)
    listened_at: float = 0.0
    answered_at: float = field(default=0.0, metadata=TRANSIENT)
    """When its last listen(2) was answered, which may have waited for one of ours."""
    notified_ready: bool = field(default=False, metadata=was("said_ready"))
    status_text: str = ""
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict, metadata=TRANSIENT)
    """What it measures of itself, by name: it tells the next supervisor by itself."""
    actions: dict[str, int] = field(default_factory=dict)
    """What it offers to do: the name, and how many arguments it takes."""
    refusal: str = field(default="", metadata=was("complaint"))
    """Why one of its system calls was refused."""
    narrow: str = field(default="", metadata=TRANSIENT)
    """Why it may not have an address that it has bound: one inside the one that serves."""
    look_at: float | None = field(default=None, metadata=TRANSIENT)
    """When to see whether it still has what it has bound; None if that is known."""
    narrow_kept: bool = field(default=False, metadata=TRANSIENT)
    """Whether it still had that address then."""
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
    missing: str = ""
    """What could not be had again of it after the keeper and its guardian had died."""
    files: FilesSeen = field(default_factory=FilesSeen, metadata=TRANSIENT)
    """What it shares with the instance that it was started for."""
    leader_alive: bool = True
    process_count: int = field(default=1, metadata=was("members"))
    connections: int = 0
    busy: int = 0
    moving: int = 0
    """Connections whose answer is owed, or went on just now: cut if it ended now."""
    unknown: int = 0
    """Connections whose answer may be over, or not."""
    moved_at: float = field(default=0.0, metadata=TRANSIENT)
    takeover: Takeover = field(default=Takeover.NONE, metadata=TRANSIENT)
    """How far the relay is with its connections, where it ends and others do not."""
    takeover_until: float = field(default=0.0, metadata=TRANSIENT)
    """Until when it is left alive for that, if it hangs."""
    relay_starts: int = field(default=0, metadata=TRANSIENT)
    taken: tuple[int, int, int] = field(default=(0, 0, 0), metadata=TRANSIENT)
    """What its relay has counted: taken, given back, cut."""
    held: tuple[int, int] = field(default=(0, 0), metadata=TRANSIENT)
    """On how many of its connections a request waits with the relay, and none does."""
    idle_checks: int = field(default=0, metadata=TRANSIENT)
    mode: Mode = Mode.SERVING
    mode_since: float = 0.0
    counts: Counts | None = None
    """What its processes count; None if none of them uses the drain library."""
    requests_begun: int = field(default=0, metadata=was("begun"))
    """How many requests its processes had begun since the drain began."""
    last_request_at: float = field(default=0.0, metadata=was("arrived_at"))
    calls: tuple[Call, ...] = ()
    """What it has asked of databases, and waits for; the oldest first."""

    @property
    def has_seat(self) -> bool:
        """Whether it is the one in its seat: not a successor that has to prove itself."""
        return not self.hung and (self.proved_alive or not self.replaces)

    @property
    def spawned(self) -> bool:
        """Whether the keeper has started it: until then no signal can be sent."""
        return self.pid != 0

    @property
    def counts_itself(self) -> bool:
        """Whether it counts its procedures itself."""
        return self.counts is not None and not self.counts.unable

    @property
    def silent(self) -> int:
        """How many of its processes have not answered the last order yet."""
        return self.counts.silent if self.counts else 0

    @property
    def owed(self) -> int:
        """What it has to finish before it may leave its seat, by any evidence.

        A quick call does not count: an app that serves always has one.
        """
        counted = self.counts.owed if self.counts and not self.counts.unable else 0
        return counted + sum(call.for_s >= LONG_CALL_S for call in self.calls)

    def has_bound(self, address: str) -> None:
        """Note an address that it has bound; of one that makes them up not each."""
        if len(self.bound) < MOST_BOUND:
            self.bound.add(address)

    def take_counts(self, total: Counts | None, now: float) -> None:
        """Note what its processes count; one request more has arrived now.

        The same is assumed where it cannot be excluded: a process did not answer, or began
        to count anew.
        """
        self.counts = total
        if total is not None:
            if total.silent or total.begun != self.requests_begun:
                self.last_request_at = now
            self.requests_begun = total.begun

    def under_way(self) -> str:
        """Name what it has not finished, as far as it is known; else nothing."""
        running = self.counts.running if self.counts else ()
        named = [f"{each['kind']} {each['name']}" for each in running]
        named += [f"{call.name} for {call.for_s:.1f} s" for call in self.calls]
        more = len(named) - MOST_NAMED
        return ", ".join(named[:MOST_NAMED] + [f"{more} more"] * (more > 0))

    def value(self) -> model.Instance:
        """Return what the plan may know of it."""
        return model.view(model.Instance, self)


@dataclass(slots=True)
class SeatRecord:
    """A place for an instance, and how the instances before ended."""

    ordinal: int
    short_lives: int = 0
    exited_at: float | None = field(default=None, metadata=was("ended"))
    exit_reason: str = field(default="", metadata=was("why"))
    exit_code: int | None = field(default=None, metadata=was("code"))
    quick_exits: int = field(default=0, metadata=was("hasty"))
    given_up: bool = False
    expected: set[str] = field(default_factory=set)
    listened: bool = False
    listened_itself: bool = False
    restarts: int = 0

    @property
    def last_end(self) -> str:
        """Who was in it last, and how that ended."""
        who = f"instance {self.ordinal} "  # a kill's reason names it
        return (
            self.exit_reason
            if self.exit_reason.startswith(who)
            else who + self.exit_reason
        )

    def value(self) -> model.Seat:
        """Return what the plan may know of it."""
        return model.view(model.Seat, self)


def is_multicast(address: str) -> bool:
    """Return whether an address that was bound is a multicast group."""
    return address.startswith(MULTICAST)
