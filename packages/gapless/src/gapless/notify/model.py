"""What people can be told, and whom to tell.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Kind(Enum):
    """What happened."""

    DONE = "done"
    FAILED = "failed"
    REVERTED = "reverted"
    CUT = "cut"
    GAVE_UP = "gave-up"
    RESTARTS = "restarts"
    HELD = "held"
    DISK = "disk"
    TEST = "test"


MEANINGS = {
    Kind.DONE: "a release serves, or a rollout has reached every host",
    Kind.FAILED: "an operation failed before its switch, or an upload was refused",
    Kind.REVERTED: "it had switched, and what served before serves again",
    Kind.CUT: "connections, requests, procedures or calls to databases were cut",
    Kind.GAVE_UP: "an app, or one instance, is not started any more",
    Kind.RESTARTS: "more than `restarts` instances were replaced within `within_s`",
    Kind.HELD: "a rollout is held or stuck: somebody has to act",
    Kind.DISK: "the disk of the logs has less than `disk_free_mb`, or a log takes nothing",
    Kind.TEST: "`gapless notify --test` was typed",
}
"""docs/notify.md has this table."""
SEVERITIES = {
    Kind.DONE: "info",
    Kind.TEST: "info",
    Kind.CUT: "warning",
    Kind.RESTARTS: "warning",
    Kind.REVERTED: "warning",
}
"""All others are `error`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, as people are told it."""

    identity: str
    """The same when it is told again: receivers that must not count twice look at it."""
    kind: Kind
    app: str
    text: str
    """One sentence."""
    at: str
    """When, by the clock of the host."""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """How bad it is: info, warning or error."""
        return SEVERITIES.get(self.kind, "error")


class Format(Enum):
    """How a webhook takes an event."""

    JSON = "json"
    SLACK = "slack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A URL that takes events by POST."""

    url: str
    format: Format = Format.JSON
    token: str = ""
    """Sent as `Authorization: Bearer`; empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program that reads an event, as JSON, from its standard input."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Addresses that get a mail, by sendmail(8)."""

    to: tuple[str, ...]
    sender: str = ""
    program: str = "/usr/sbin/sendmail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One [notify.NAME]."""

    name: str
    way: Webhook | Command | Mail
    kinds: frozenset[Kind]
    apps: frozenset[str] = frozenset()
    """Empty: all of them."""
    restarts: int = 3
    """More of one app within `within_s` are told."""
    within_s: float = 600.0
    disk_free_bytes: int = 200 << 20
    timeout_s: float = 10.0
    """How long one attempt may take."""
    retry_s: float = 3600.0
    """For how long after it happened it is tried again to tell."""

    def wants(self, event: Event) -> bool:
        """Return whether this target is told an event."""
        of_app = not self.apps or not event.app or event.app in self.apps
        return event.kind is Kind.TEST or (event.kind in self.kinds and of_app)
