"""A rollout as plain values: what is wanted, what each host says, and where it stands.

    rolling ──────▶ done            every host that is there runs the release
      │ ▲ │
      │ │ └───────▶ reverting ────▶ reverted     hosts go back, and need no canary
      ▼ │               │ ▲
    held ───────────────┘ │         a failure, `hold`; `resume`, `abort`
                        ▼ │
                      stuck         a host could not even go back: people are needed

`TRANSITIONS` is that picture as a table; docs/rollout.md has it drawn from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from gapless.rollout.policy import Policy


class State(Enum):
    """Where a rollout stands."""

    ROLLING = "rolling"
    HELD = "held"
    DONE = "done"
    REVERTING = "reverting"
    STUCK = "stuck"
    REVERTED = "reverted"


class Cue(Enum):
    """What moves a rollout from state to state."""

    FINISH = "finish"  #: every host that is there is where it should be
    HOLD = "hold"  #: by hand, or by a failure with nothing to go back from
    REVERT = "revert"  #: by a failure after hosts had changed, or by `abort`
    RESUME = "resume"  #: by hand; hosts that failed try again


TRANSITIONS: dict[tuple[State, Cue], State] = {
    (State.ROLLING, Cue.FINISH): State.DONE,
    (State.ROLLING, Cue.HOLD): State.HELD,
    (State.ROLLING, Cue.REVERT): State.REVERTING,
    (State.HELD, Cue.RESUME): State.ROLLING,
    (State.HELD, Cue.REVERT): State.REVERTING,
    (State.REVERTING, Cue.FINISH): State.REVERTED,
    (State.REVERTING, Cue.HOLD): State.STUCK,
    (State.STUCK, Cue.RESUME): State.REVERTING,
    (State.DONE, Cue.RESUME): State.ROLLING,
    (State.REVERTED, Cue.RESUME): State.REVERTING,
}
BACK = (State.REVERTING, State.STUCK, State.REVERTED)
"""States in which hosts are wanted on the release of before."""
OVER = (State.DONE, State.REVERTED)
ENDED = (*OVER, State.HELD, State.STUCK)
"""States in which nothing more happens unless somebody does something."""


class Phase(Enum):
    """What a host does about a rollout."""

    IDLE = "idle"  #: nothing
    STOPPED = "stopped"  #: the app was stopped there by hand, and stays so
    WAITING = "waiting"  #: for its wave, a slot, or the end of a freeze
    FETCHING = "fetching"
    CHANGING = "changing"  #: the handoff or recycle is under way
    WATCHING = "watching"  #: it serves the new release, and is watched
    DONE = "done"
    FAILED = "failed"


AT_WORK = (Phase.FETCHING, Phase.CHANGING, Phase.WATCHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What is wanted of every host of an app; the newest takes the place of others."""

    app: str
    number: int
    release: str
    """Where hosts are to go: the name of a release's directory."""
    digest: str = ""
    """SHA-256 of the release's manifest: a copy is verified with it."""
    previous: str = ""
    """Where they go back to; nothing for the first one."""
    previous_digest: str = ""
    """As `digest`, of the way back: a host that came late has no copy of it."""
    state: State = State.ROLLING
    reason: str = ""
    attempt: int = 1
    """Grows when it is resumed and when it turns back: who failed may try again."""
    by: str = ""
    began_at: str = ""
    policy: Policy = field(default_factory=Policy)
    settled: bool = False
    """The link was flipped or left, and the hooks of its end have run."""

    @property
    def target(self) -> str:
        """The release on which hosts are wanted now."""
        return self.previous if self.state in BACK else self.release

    @property
    def turn(self) -> tuple[int, int]:
        """Which attempt at which rollout this is."""
        return self.number, self.attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What a host says of itself; nobody else writes it."""

    host: str
    release: str = ""
    """What serves there; nothing if the app does not run."""
    turn: tuple[int, int] = (0, 0)
    """The attempt that its phase is about."""
    phase: Phase = Phase.IDLE
    reason: str = ""
    beat: int = 0
    """Grows with each write: who does not change it is gone."""
    at: str = ""
    """The host's own time, for people; never compared."""
    agent: str = ""
    """Which agent wrote it: two of them must not call themselves alike."""
    addresses: tuple[str, ...] = ()
    """`host:port` where balancers reach the app; the last that were known."""
    health: str = ""
    """`host:port` where its agent answers whether the app serves; nothing: nowhere."""
    drains: bool = False
    """The whole host leaves service, or has left it: it follows later."""
    recycles: bool = False
    """Its app cannot run twice at once, so that it does not serve while it changes."""

    @property
    def serves(self) -> bool:
        """Whether requests may be sent there, as far as it says itself."""
        away = self.phase is Phase.STOPPED or self.drains
        changes = self.recycles and self.phase is Phase.CHANGING
        return bool(self.release) and not away and not changes
