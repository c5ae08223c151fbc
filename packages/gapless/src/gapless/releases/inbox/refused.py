"""Refused uploads: they stay below src/refused/, each with its reason beside it."""

from __future__ import annotations

import os

from gapless.base import clock
from gapless.releases import paths
from gapless.releases.inbox import uploads
from gapless.releases.model import ReleaseSpec

REASON = ".reason.txt"
KEPT = 20
"""Of all apps of an inbox.  Without a limit they pile up: each push has its own name."""


def move_to_refused(spec: ReleaseSpec, path: str, name: str, reason: str) -> None:
    """Move an upload below refused/ by the name *name*, and write the reason.

    Only the newest `KEPT` of all refused uploads stay.
    """
    refused = f"{spec.inbox}/refused"
    os.makedirs(refused, exist_ok=True)
    # The reason first: whoever finds the upload there finds it as well.
    with open(f"{refused}/{name}{REASON}", "w", encoding="utf-8") as file:
        file.write(f"{clock.stamp(clock.wall())} {reason}\n")
    os.replace(path, f"{refused}/{name}")
    names = [each for each in os.listdir(refused) if not each.endswith(REASON)]
    names.sort(key=lambda each: uploads.arrived_ns(f"{refused}/{each}"))
    for each in names[:-KEPT]:
        paths.remove(f"{refused}/{each}")
        paths.remove(f"{refused}/{each}{REASON}")


def reason_of(spec: ReleaseSpec, name: str) -> str:
    """Return why an upload was refused; empty if it was not."""
    at = f"{spec.inbox}/refused/{name}"
    if not os.path.exists(at):
        return ""
    try:
        with open(at + REASON, encoding="utf-8", errors="replace") as file:
            _, _, reason = file.read().partition(" ")
    except FileNotFoundError:
        reason = ""
    return reason.strip() or "it was refused"
