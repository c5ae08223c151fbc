"""What the verbs about this machine print."""

from __future__ import annotations

from typing import Any

import msgspec


class Change(msgspec.Struct):
    """A setting that a reload would change."""

    key: str
    old: Any
    new: Any
    reason: str | None = None


class Checked(msgspec.Struct):
    """A file without a mistake."""

    valid: bool
    changes: dict[str, list[Change]]
    """What a reload would change, by app."""
    new: list[str]
    """Apps that do not run yet."""


class Support(msgspec.Struct):
    """Something that this machine has, or has not."""

    what: str
    trouble: str | None
    """Null: it is there."""
    without: str
    optional: bool = False


class Saved(msgspec.Struct):
    """The list that was saved."""

    saved: str
    apps: int


class ShutDown(msgspec.Struct):
    """Whether anything ran."""

    shut_down: bool


class Version(msgspec.Struct):
    """A process of gapless."""

    version: str | None
    pid: int | None
    package: str | None


class Replaced(msgspec.Struct):
    """A process before and after an upgrade."""

    old: Version
    new: Version
    stays: str | None = None
    """Why it was not replaced."""
    took_ms: float | None = None


class Upgraded(msgspec.Struct):
    """What an upgrade has replaced; null: nothing ran."""

    supervisor: Replaced | None
    keeper: Replaced | None
    without_control_ms: float | None = None


class BalancerChecked(msgspec.Struct):
    """Whether a balancer lets refused requests through."""

    right: bool
    findings: list[str]
