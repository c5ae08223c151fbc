"""The report in which an operation ends, and the error that is printed in its place."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class OldNew(msgspec.Struct):
    """What it was, and what it is."""

    old: int | str | None
    new: int | str | None


class Step(msgspec.Struct):
    """A step of an operation."""

    step: str
    at_s: float
    """Since the operation began."""
    detail: str


class UnderWay(msgspec.Struct):
    """An operation that has not ended."""

    action: str
    generation: OldNew
    started_at: str
    for_s: float
    """Since it was asked for."""
    steps: list[Step]


class Connections(msgspec.Struct):
    """Connections of the old generation."""

    seen: int
    finished: int
    cut: int
    unknown: int
    """Open and silent when their process ended: their answer may have been over, or not."""
    taken_over: int = 0
    given_back: int = 0


class Calls(msgspec.Struct):
    """Calls to databases."""

    seen: int
    finished: int
    cut: int


class CountedRequests(msgspec.Struct):
    """Requests of the old generation, as it counted them."""

    finished: int
    refused: int
    cut: int


class Named(msgspec.Struct):
    """A procedure that has ended."""

    name: str | None
    for_s: float


class CountedProcedures(msgspec.Struct):
    """Procedures of the old generation, as it counted them."""

    finished: int
    cut: int
    finished_named: list[Named]
    cut_named: list[Named]


class Report(msgspec.Struct):
    """How an operation ended."""

    app: str
    token: str
    action: str | None
    outcome: Literal["done", "failed", "superseded"]
    reason: str | None
    hint: str | None
    """What to do about the reason."""
    generation: OldNew
    release: OldNew
    instances: int
    started_at: str
    steps: list[Step]
    connections: Connections | None
    """Null: the kernel did not show them."""
    requests: CountedRequests | None
    """Null: the app does not count."""
    procedures: CountedProcedures | None
    longest: dict[str, Any] | None
    cut: list[dict[str, Any]]
    """What was ended with work unfinished."""
    log_tail: list[str]
    not_taken_over: str | None = None
    outgoing: Calls | None = None
    warning: str | None = None
    signed_by: str | None = None
    """Who signed the upload, of a `publish`."""
    report: str | None = None
    """The file in which a report of a `publish` is kept."""


class Registered(msgspec.Struct):
    """An app that was added to the list, and not started."""

    app: str
    action: Literal["register"]
    outcome: Literal["done"]


class Error(msgspec.Struct):
    """Why a command failed."""

    kind: str
    message: str
    hint: str
    exit_code: int


class Failure(msgspec.Struct):
    """What is printed in the place of a result."""

    error: Error
    app: str | None = None
    """The app, if the command was about several."""
