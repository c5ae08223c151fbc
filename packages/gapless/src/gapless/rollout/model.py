"""The values of a rollout: the record that hosts follow, and the report of each host.

    rolling ──────▶ done            every live host runs the release
      │ ▲ │
      │ │ └───────▶ reverting ────▶ reverted     hosts go back, without a canary
      ▼ │               │ ▲
    held ───────────────┘ │         a failure, `hold`; `resume`, `abort`
                        ▼ │
                      stuck         a host could not go back: an operator is needed

`TRANSITIONS` is that picture as a table; docs/rollout.md has a diagram drawn from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from gapless.rollout.fields import (
    Addresses,
    Count,
    Digest,
    GoneSeconds,
    Line,
    Number,
    Releases,
    Signature,
    Text,
    Time,
    Token,
)
from gapless.rollout.policy import Policy


class State(Enum):
    """Where a rollout stands."""

    ROLLING = "rolling"
    HELD = "held"
    DONE = "done"
    REVERTING = "reverting"
    STUCK = "stuck"
    REVERTED = "reverted"


class Action(Enum):
    """What moves a rollout from state to state."""

    FINISH = "finish"  #: every live host is on its target
    HOLD = "hold"  #: by hand, at a deadline, or after a failure that is not reverted
    REVERT = "revert"  #: by `abort`, or after a failure when hosts had changed
    RESUME = "resume"  #: by hand; hosts that failed try again


TRANSITIONS: dict[tuple[State, Action], State] = {
    (State.ROLLING, Action.FINISH): State.DONE,
    (State.ROLLING, Action.HOLD): State.HELD,
    (State.ROLLING, Action.REVERT): State.REVERTING,
    (State.HELD, Action.RESUME): State.ROLLING,
    (State.HELD, Action.REVERT): State.REVERTING,
    (State.REVERTING, Action.FINISH): State.REVERTED,
    (State.REVERTING, Action.HOLD): State.STUCK,
    (State.STUCK, Action.RESUME): State.REVERTING,
    (State.DONE, Action.RESUME): State.ROLLING,
    (State.REVERTED, Action.RESUME): State.REVERTING,
}
BACK = (State.REVERTING, State.STUCK, State.REVERTED)
"""States in which the target of hosts is the previous release."""
OVER = (State.DONE, State.REVERTED)
"""States in which only hosts that come late still change."""
ENDED = (*OVER, State.HELD, State.STUCK)
"""States in which nothing more happens without a command."""


class Phase(Enum):
    """What a host does for a rollout."""

    IDLE = "idle"  #: nothing
    STOPPED = "stopped"  #: the app was stopped there by hand, and stays stopped
    WAITING = "waiting"  #: for its wave, a slot, or the end of a freeze
    FETCHING = "fetching"
    CHANGING = "changing"  #: the handoff or recycle is under way
    WATCHING = "watching"  #: the new release serves, and is watched
    DONE = "done"
    FAILED = "failed"


AT_WORK = (Phase.FETCHING, Phase.CHANGING, Phase.WATCHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The record that every host of an app follows; a newer one supersedes it."""

    app: Line
    number: Number
    release: Line
    """The release to roll out, by the name of its directory."""
    digest: Digest = ""
    """SHA-256 of the list of the release's files: a copy is verified with it."""
    previous: Line = ""
    """The release that hosts go back to; empty for the first rollout."""
    previous_digest: Digest = ""
    """The digest of `previous`: a host that came late has no copy of it."""
    state: State = State.ROLLING
    reason: Text = ""
    failure: Text = ""
    """Why the hosts of this rollout could not run its release, if agents ended it for that.

    Empty: they have not, it was moved by hand, or an earlier version of gapless did it."""
    attempt: Number = 1
    """Raised by `resume` and by a revert, so that hosts that failed try again."""
    by: Line = ""
    signed_by: Line = ""
    """Who signed the upload, as the publisher has verified; empty: nobody had to."""
    signature: Signature = ""
    """The publisher's, of a statement made of this record; empty: it signs none."""
    began_at: Time = ""
    policy: Policy = field(default_factory=Policy)
    settled: bool = False
    """Its end was finalized: the link was flipped or left, and the hook has run."""

    @property
    def target(self) -> str:
        """The release that hosts should run now."""
        return self.previous if self.state in BACK else self.release

    @property
    def turn(self) -> tuple[int, int]:
        """The number of the rollout and of the attempt."""
        return self.number, self.attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What the agent of a host reports; only that agent writes it."""

    host: Line
    release: Line = ""
    """The release that serves there; empty if the app does not run."""
    finished: Line = ""
    """The release that ended there by itself, as its settings allow; nothing runs."""
    in_use: Releases = ()
    """The releases that its generations run from, those that finish too.

    While it is at work, the one that it changes to as well; agents of earlier versions
    report none."""
    turn: tuple[Number, Number] = (0, 0)
    """The number of the rollout and of the attempt that `phase` is about."""
    ran: Number = 0
    """The number of the last rollout in whose turn its release ran there, or had ended.

    Agents of earlier versions report none."""
    phase: Phase = Phase.IDLE
    reason: Text = ""
    beat: Number = 0
    """The heartbeat: raised with each write, so that others see the host alive."""
    at: Time = ""
    """The time of the host, for people; never compared."""
    agent: Token = ""
    """The agent that wrote it: two agents must not use the same host name."""
    addresses: Addresses = ()
    """`host:port` where balancers reach the app, as they were last known."""
    health: Line = ""
    """`host:port` of the agent's health endpoint; empty: it has none."""
    drains: bool = False
    """The whole host drains or has drained: it follows rollouts afterwards."""
    recycles: bool = False
    """The app cannot run twice at once, so it does not serve while it changes."""
    gone_s: GoneSeconds = 0.0
    """The policy's, which the host goes by; agents of earlier versions say none."""

    def gone_after_s(self, policy_s: float) -> float:
        """Return after what silence the host is gone, for who has another policy.

        The longer one counts: a host at work goes by the policy that it began with.
        """
        return max(policy_s, self.gone_s)

    @property
    def serves(self) -> bool:
        """Whether the host serves requests, by its own report."""
        away = self.phase is Phase.STOPPED or self.drains
        changes = self.recycles and self.phase is Phase.CHANGING
        return bool(self.release) and not away and not changes


@dataclass(frozen=True, slots=True, kw_only=True)
class PastHost:
    """What a host did in a rollout that has ended."""

    release: Line = ""
    phase: Line = ""
    reason: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRollout:
    """How a rollout ended."""

    number: Number
    release: Line
    previous: Line = ""
    by: Line = ""
    signed_by: Line = ""
    began_at: Time = ""
    ended_at: Time = "-"
    outcome: Line
    reason: Text = ""
    changed: Count = 0
    """How many hosts had changed."""
    hosts: dict[str, PastHost] = field(default_factory=dict)
    """By name; in a large fleet only those that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainingHosts:
    """The record of the hosts that drain by hand."""

    hosts: dict[str, Time] = field(default_factory=dict)
    """By name: since when, by the host's own clock."""


def signed_by(rollout: Rollout) -> str:
    """Return who signed a rollout, for people: the record says so, hosts verify it."""
    names = [rollout.signed_by] if rollout.signed_by else []
    return " and ".join([*names, "the publisher"] if rollout.signature else names)
