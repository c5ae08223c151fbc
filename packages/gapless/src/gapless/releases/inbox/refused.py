"""Refused uploads: they stay in refused/APP/, each with its reason beside it."""

from __future__ import annotations

import os

from gapless.base import clock, files
from gapless.base.outside import files as outside_files
from gapless.base.outside.text import printable
from gapless.releases import paths
from gapless.releases.inbox import old_layout, uploads
from gapless.releases.model import ReleaseSpec

REASON = ".reason.txt"
KEPT = 20
"""Of each app.  Without a limit they pile up: each push has its own name."""


def move_to_refused(spec: ReleaseSpec, path: str, name: str, reason: str) -> None:
    """Move the copy of an upload to refused/APP/ by the name *name*; write the reason.

    Only the newest `KEPT` of them stay.  Raises OSError.
    """
    paths.make_own(os.path.dirname(spec.refused))
    paths.make_own(spec.refused)
    # The reason first: whoever finds the upload there finds it as well.
    shown = printable(reason, kept="\n")
    text = f"{clock.stamp(clock.wall())} {shown}\n"
    files.write_atomically(f"{spec.refused}/{name}{REASON}", text.encode(), 0o644)
    with open(path, "rb") as file:
        files.sync(file.fileno())  # the upload in the inbox goes next
    files.rename(path, f"{spec.refused}/{name}")
    names = [each for each in os.listdir(spec.refused) if not each.endswith(REASON)]
    names.sort(key=lambda each: uploads.arrived_ns(f"{spec.refused}/{each}"))
    for each in names[:-KEPT]:
        paths.remove(f"{spec.refused}/{each}")
        paths.remove(f"{spec.refused}/{each}{REASON}")


def kept(spec: ReleaseSpec) -> list[tuple[str, str]]:
    """Return the refused uploads that are kept, each with its reason, the oldest first."""
    try:
        names = [each for each in os.listdir(spec.refused) if uploads.is_plain(each)]
    except OSError:
        return []
    names = [each for each in names if not each.endswith(REASON)]
    names.sort(key=lambda each: uploads.arrived_ns(f"{spec.refused}/{each}"))
    return [(each, reason_of(spec, each)) for each in names[-KEPT:]]


def reason_of(spec: ReleaseSpec, name: str) -> str:
    """Return why an upload was refused; empty if it was not."""
    if not uploads.is_plain(name):
        return ""
    if os.path.lexists(f"{spec.refused}/{name}"):
        try:
            path = f"{spec.refused}/{name}{REASON}"
            return _reason(outside_files.read(path, old_layout.MOST_BYTES))
        except OSError:
            return _reason(b"")
    if name not in old_layout.names(spec.inbox, old_layout.REFUSED):
        return ""
    found = old_layout.read(spec.inbox, old_layout.REFUSED, name + REASON)
    return _reason(found or b"")


def _reason(content: bytes) -> str:
    """Return the reason in a file: it stands after the time."""
    _, _, reason = content.decode(errors="replace").partition(" ")
    return printable(reason.strip(), kept="\n") or "it was refused"
