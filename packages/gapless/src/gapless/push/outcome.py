"""What became of an upload, as the release server tells it.  Pure.

    waiting ─▶ publishing ─▶ rolling ─▶ done
                   │           │ ├────▶ held          people are needed
                   │           │ ├────▶ reverting ─▶ reverted, or stuck
                   │           └─┴────▶ superseded    another took its place
                   └──▶ refused, failed

An upload of an app without a fleet ends `done` or `failed` right after `publishing`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gapless.rollout import records

KIND = "upload"
FOLDER = ".outcomes"
"""Below src/."""


class Stage(Enum):
    """How far an upload has come."""

    WAITING = "waiting"  #: complete, and something is in the way
    PUBLISHING = "publishing"
    ROLLING = "rolling"
    DONE = "done"
    REFUSED = "refused"  #: it became no release
    FAILED = "failed"  #: it became one, which did not prove itself
    HELD = "held"
    REVERTING = "reverting"
    REVERTED = "reverted"
    STUCK = "stuck"
    SUPERSEDED = "superseded"


OVER = (Stage.DONE, Stage.REFUSED, Stage.FAILED, Stage.REVERTED, Stage.SUPERSEDED)
"""Nothing more will be told."""
ENDED = (*OVER, Stage.HELD, Stage.STUCK)
"""Nothing more happens unless somebody does something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one upload so far."""

    upload: str
    """The name of the file in src/: a push never uses one twice."""
    app: str
    stage: Stage
    detail: str = ""
    """The step, or why."""
    release: str = ""
    rollout: int = 0
    """The number; 0 without a fleet."""
    hosts_done: int = 0
    hosts: int = 0
    report: str = ""
    """Where more stands, on the release server."""
    at: str = ""
    """The release server's time, for people."""


def encode(outcome: Outcome) -> bytes:
    """Return an outcome as one line: a record with its checksum."""
    plain = dataclasses.asdict(outcome) | {"stage": outcome.stage.value}
    return records.encode(KIND, plain) + b"\n"


def decode(content: bytes) -> Outcome:
    """Return the outcome of a record.  Raises ValueError."""
    value: dict[str, Any] = records.decode(KIND, content)
    try:
        known = records.known(Outcome, value)
        return Outcome(**{**known, "stage": Stage(value["stage"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"it is no outcome: {error}") from None


def name_of(app: str, token: str, ending: str) -> str:
    """Return what an upload is called: no other has the name, so none is replaced."""
    return f"{app}-{token}{ending}"


def line(outcome: Outcome) -> str:
    """Return what people read of an outcome."""
    where = f"{outcome.app}: "
    if outcome.rollout:
        where += f"rollout {outcome.rollout} "
    if outcome.release:
        where += f"{'to ' if outcome.rollout else ''}{outcome.release} "
    hosts = (
        f", {outcome.hosts_done} of {outcome.hosts} hosts there"
        if outcome.hosts and outcome.stage is Stage.ROLLING
        else ""
    )
    why = f": {outcome.detail}" if outcome.detail else ""
    return f"{where}{outcome.stage.value}{hosts}{why}"
