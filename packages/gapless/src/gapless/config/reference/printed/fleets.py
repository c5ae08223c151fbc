"""Releases, uploads and rollouts, as `--json` prints them."""

from __future__ import annotations

from typing import Any

import msgspec


class Release(msgspec.Struct):
    """A release of an app."""

    release: str
    path: str
    current: bool
    failure: str | None
    proven: bool
    """It has served; `rollback` skips others."""
    signed_by: str | None


class Host(msgspec.Struct):
    """What the agent of a host reports."""

    host: str
    release: str
    finished: str
    """The release that ended there by itself, as its settings allow; mostly empty."""
    in_use: list[str]
    """The releases that generations run from, those that finish too."""
    turn: list[int]
    """The numbers of the rollout and of the attempt."""
    ran: int
    """The number of the last rollout in whose turn its release ran there."""
    phase: str
    reason: str
    beat: int
    at: str
    agent: str
    addresses: list[str]
    health: str
    drains: bool
    recycles: bool
    gone_s: float
    """After so long without a report it is gone, by the policy that it goes by."""
    silent_s: float | None
    """For how long it has not reported, by its clock and ours."""


class Rollout(msgspec.Struct):
    """A rollout."""

    app: str
    number: int
    release: str
    digest: str
    previous: str
    previous_digest: str
    state: str
    reason: str
    failure: str
    """Why hosts could not run the release, if agents held or turned it back for that."""
    attempt: int
    by: str
    signed_by: str
    signature: str
    began_at: str
    policy: dict[str, Any]
    settled: bool
    target: str
    """The release that hosts should run now."""
    hosts: list[Host] | None = None
    stranger: str = ""
    """The release that the link names, if no rollout brought it."""


class NoRollout(msgspec.Struct):
    """A fleet in which nothing was rolled out."""

    app: str
    state: None
    hosts: list[Host]


class Outcome(msgspec.Struct):
    """What has become of an upload."""

    upload: str
    app: str
    stage: str
    detail: str
    release: str
    rollout: int
    """0 without a fleet."""
    hosts_done: int
    hosts: int
    report: str
    """The path of the report on the release server."""
    at: str


class Pushed(msgspec.Struct):
    """An upload."""

    app: str
    to: str
    upload: str
    size_bytes: int
    sha256: str
    signed: bool
    left_out: list[str]
    outcome: Outcome | None
    """Null without --wait."""
