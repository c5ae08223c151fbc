"""What a target remembers between two runs: how far it has come, and what it has told."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields

MOST_TOLD = 200
MOST_APPS = 1000
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in the log of gapless: everything before it was told."""

    device: int = 0
    inode: int = 0
    """0: nowhere yet, the log is read from its end."""
    offset: int = 0
    head: str = ""
    """A digest of the file's beginning: an inode may be used again."""
    head_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class Memory:
    """What is in the file of a target."""

    version: int = VERSION
    place: Place = field(default_factory=Place)
    told: list[str] = field(default_factory=list)
    """The identities of the last events, told or given up."""
    restarts: dict[str, list[float]] = field(default_factory=dict)
    """By app: when instances were replaced lately."""
    restarts_told: dict[str, float] = field(default_factory=dict)
    """By app: when people were told last that these are many."""
    gave_up: dict[str, str] = field(default_factory=dict)
    """By app: generation and reason of one that gave up, until it is started."""
    log_trouble: list[str] = field(default_factory=list)
    """The apps whose logs take nothing, as was told."""
    rollouts: dict[str, str] = field(default_factory=dict)
    """By app: number, attempt and state of its rollout."""
    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)
    """By folder, then by app and upload: stage and time of the uploads that are there."""
    sources: list[str] = field(default_factory=list)
    """Fleets and folders that were looked at before: what was there first is no news."""
    is_disk_low: bool = False
    given_up: int = 0
    """Events that could not be told since the last one that was."""

    def copy(self) -> Memory:
        """Return a memory that a change of this one leaves as it is."""
        found = copy.copy(self)
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, dict | list):
                setattr(found, each.name, value.copy())
        return found

    def looked_at(self, source: str) -> None:
        """Note that what comes from a source is news from now on."""
        if source not in self.sources:
            self.sources = [*self.sources, source]

    def remember(self, identity: str) -> None:
        """Note that an event is over, told or given up."""
        if identity not in self.told:
            self.told = [*self.told, identity][-MOST_TOLD:]
