"""A rollback that was interrupted, and whose command comes again."""

from __future__ import annotations

from typing import Any

from gapless.deploy import report
from gapless.releases import current
from gapless.releases.model import ReleaseSpec
from gapless.releases.publisher import journal


def finished_rollback(spec: ReleaseSpec) -> dict[str, Any] | None:
    """Return the report of a rollback that `watch` finished; its command comes again.

    To go back once more would be one release too far.
    """
    change = journal.read_settled(spec)
    if change is None:
        return None
    journal.drop(spec)
    before = current.current(spec)
    is_it = before is not None and before.name == change.release
    if not is_it or not journal.is_rollback(change, ""):
        return None
    return {
        **report.without_handoff(spec.app, change.token),
        "action": change.action,
        "release": {"old": None, "new": change.release},
        "warning": "the rollback that was interrupted had been finished meanwhile; "
        f"`gapless rollback {spec.app}` goes back once more",
    }
