"""What the plan can ask for: one value for each action."""

from __future__ import annotations

from dataclasses import dataclass

from gapless.supervisor.memory.model import Mode


@dataclass(frozen=True, slots=True)
class Start:
    """Start an instance in a seat."""

    generation: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class StartSuccessor:
    """Start an instance beside the one in its seat, which hangs."""

    generation: int
    ordinal: int
    replaces: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Send an instance that hangs its stop signal; another one has its seat, or will."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class MarkReady:
    """Count an instance as ready."""

    key: str


@dataclass(frozen=True, slots=True)
class NameWait:
    """Tell those who wait what a generation waits for."""

    generation: int
    what: str


@dataclass(frozen=True, slots=True)
class SendProbe:
    """Send an HTTP probe to a generation through the real port."""

    generation: int


@dataclass(frozen=True, slots=True)
class AskPermit:
    """Ask the client that requested a generation whether it may still switch."""

    generation: int


@dataclass(frozen=True, slots=True)
class CompareFiles:
    """Look whether a generation on trial shares state on disk with those that serve."""

    generation: int
    ready: bool = False
    """Whether nothing else is missing before the switch."""
    successor: str = ""
    """The key of an instance that is compared with the one that hangs, in its place."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Send new connections to a generation; the one before stands by."""

    generation: int


@dataclass(frozen=True, slots=True)
class MarkProven:
    """Let the generations before retire: this one has lived long enough."""

    generation: int


@dataclass(frozen=True, slots=True)
class Revert:
    """Give the new connections back to the generation that stands by."""

    generation: int
    to: int
    reason: str


STOPPED = "the app was stopped"
"""The reason of a `Retire` that was asked for: nothing has failed."""


@dataclass(frozen=True, slots=True)
class Retire:
    """Let a generation finish its work and end; with `reason` if it failed."""

    generation: int
    reason: str = ""


TRYING = "trying on"
"""The step of a `TryOn`: the operation ends, and its generation goes on."""
TRIED_ON = "it is tried on, as after a boot: `list` shows it, `stop` ends it"


@dataclass(frozen=True, slots=True)
class TryOn:
    """Let a first start that is not ready in time serve, as after a boot; say why."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Quiesce:
    """Let no new connection begin on sockets that no other generation takes over."""

    generation: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Undo `Quiesce`: new connections may begin again."""

    generation: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell an instance to drain, in a mode, or to go back to serving."""

    key: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Let the relay take the connections of a generation, each when it is idle.

    Or those of one instance alone, by its key.
    """

    generation: int
    key: str = ""


@dataclass(frozen=True, slots=True)
class SendStop:
    """Send an instance its stop signal; `reason` says why now."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill every process of an instance now.  This is always reported."""

    key: str
    reason: str
    excludes: bool = False
    """It shares state with the one that it was started for: no other is tried so."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Start no more instances in a seat."""

    generation: int
    ordinal: int
    reason: str


@dataclass(frozen=True, slots=True)
class MarkFinished:
    """Count an app as stopped: every instance has ended as it was meant to."""

    generation: int


@dataclass(frozen=True, slots=True)
class StartRelay:
    """Serve the connections that wait in the queue of a generation without instances."""

    generation: int


@dataclass(frozen=True, slots=True)
class CloseGeneration:
    """Close the sockets of a generation that has ended, and forget it."""

    generation: int


Action = (
    Start
    | StartSuccessor
    | Replace
    | MarkReady
    | NameWait
    | SendProbe
    | AskPermit
    | CompareFiles
    | Switch
    | MarkProven
    | Revert
    | Retire
    | TryOn
    | Quiesce
    | Resume
    | Drain
    | TakeOver
    | SendStop
    | Kill
    | GiveUp
    | MarkFinished
    | StartRelay
    | CloseGeneration
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, and when to plan again if nothing happens before."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    starts_held: bool = False
    """Whether instances are to start that may not yet."""
