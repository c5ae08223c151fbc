"""The outcome of an upload, as the release server reports it.  Pure.

    waiting ─▶ publishing ─▶ rolling ─▶ done
                   │           │ ├────▶ held          somebody has to act
                   │           │ ├────▶ reverting ─▶ reverted, or stuck
                   │           └─┴────▶ superseded    another rollout replaced it
                   └──▶ refused, failed

An upload of an app without a fleet ends `done` or `failed` right after `publishing`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gapless.base.outside.text import printable
from gapless.rollout import records

KIND = "upload"
FOLDER = "outcomes"
"""The directory of the records, below the base, where no uploader may write."""
OLD_FOLDER = ".outcomes"
"""The same of earlier versions, below src/."""
MOST_BYTES = 256 << 10
"""No record has more."""


class Stage(Enum):
    """How far an upload has come."""

    WAITING = "waiting"  #: complete, and it cannot be published yet
    PUBLISHING = "publishing"
    ROLLING = "rolling"
    DONE = "done"
    REFUSED = "refused"  #: it became no release
    FAILED = "failed"  #: it became a release that did not prove itself
    HELD = "held"
    REVERTING = "reverting"
    REVERTED = "reverted"
    STUCK = "stuck"
    SUPERSEDED = "superseded"


FINAL = (Stage.DONE, Stage.REFUSED, Stage.FAILED, Stage.REVERTED, Stage.SUPERSEDED)
"""No other outcome follows."""
WAIT_ENDS_AT = (*FINAL, Stage.HELD, Stage.STUCK)
"""No other outcome follows by itself: after held and stuck somebody has to act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What has become of one upload so far."""

    upload: str
    """The name of the file in src/; `gapless push` uses each name once."""
    app: str
    stage: Stage
    detail: str = ""
    """The step, or the reason."""
    release: str = ""
    rollout: int = 0
    """Its number; 0 without a fleet."""
    hosts_done: int = 0
    hosts: int = 0
    report: str = ""
    """The path of the report on the release server."""
    at: str = ""
    """The time on the release server's clock, as text."""


def encode(outcome: Outcome) -> bytes:
    """Return an outcome as a record with its checksum, on one line."""
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


def upload_name(app: str, token: str, ending: str) -> str:
    """Return the name of an upload; *token* is random, so no upload replaces another."""
    return f"{app}-{token}{ending}"


def summary(outcome: Outcome) -> str:
    """Return an outcome as a sentence for people."""
    where = f"{outcome.app}: "
    if outcome.rollout:
        where += f"rollout {outcome.rollout} "
    if outcome.release:
        where += f"{'to ' if outcome.rollout else ''}{outcome.release} "
    hosts = (
        f", {outcome.hosts_done} of {outcome.hosts} hosts updated"
        if outcome.hosts and outcome.stage is Stage.ROLLING
        else ""
    )
    why = f": {outcome.detail}" if outcome.detail else ""
    return printable(f"{where}{outcome.stage.value}{hosts}{why}", kept="\n")
