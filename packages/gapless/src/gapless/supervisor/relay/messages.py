"""What the supervisor and the relay tell each other: JSON on a SOCK_SEQPACKET socket.

The supervisor sends `aim` (again whenever it changes), `ending` and `drop`; the relay
answers with `status` whenever that changes.  All may be sent twice.  Where the relay lacks
the rights of ptrace(2) it sends `need`, and `got` comes with a duplicate of the keeper's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """The generation whose connections are to be taken, or one instance of it."""

    app: str
    generation: int
    instance: str = ""
    """Its key, if the others of the generation stay; empty: all of them end."""
    pids: tuple[int, ...]
    ports: tuple[int, ...]
    patience_s: float = 0.0
    """Only what was silent for so long: its processes end the rest by their answers."""
    loopback_only: bool = False
    """The app trusts some addresses more than others."""
    starts: int = 1
    """How many relays have been started for it: those before have died."""
    limit_s: float = 30.0
    """How long a connection without a process may be silent."""
    by_source: bool = False
    """Source addresses choose the instance: see `relay.carried`."""
    ttls: tuple[tuple[int, int], ...] = ()
    """Of the ports that apps share: the port, and the time to live that names this app."""
    at_once: bool = False
    """New connections wait, or nobody answers: what is parked is settled, and not only
    when it was silent for long."""
    holds: bool = False
    """Nobody accepts a connection now: the next request waits on what is parked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The processes of a generation get their stop signal now, or have ended."""

    app: str
    generation: int
    instance: str = ""
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GoOn:
    """There is another supervisor: it says anew what is to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """An app was stopped: nothing more is carried to its port, which may be another's.

    Or an instance of it stays after all: what is parked is given back.
    """

    app: str
    instance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The relay may not duplicate a descriptor itself: the keeper may."""

    app: str
    generation: int
    inode: int
    pid: int
    descriptor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """The duplicate that was needed comes with this, or why there is none."""

    app: str
    generation: int
    inode: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far it has come with a generation, or an instance of one."""

    app: str
    generation: int
    instance: str = ""
    looked: bool
    """It has seen every connection at least once."""
    free: int
    """Connections that their process still serves."""
    unsettled: int
    """Connections that are taken, and not at their end."""
    parked: int
    """Connections that outlive their processes as they are."""
    taken: int
    given_back: int
    cut: int
    trouble: str
    """Why it cannot take connections; empty if it can."""
    waiting: int = 0
    """Connections on which a request waits for somebody who accepts."""

    @property
    def is_settled(self) -> bool:
        """Return whether the processes may end."""
        return self.looked and not self.free and not self.unsettled
