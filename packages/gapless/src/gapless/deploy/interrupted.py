"""A change whose publisher died: how it ended, by what serves."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from gapless.client import Client
from gapless.deploy import report, running_app
from gapless.deploy.handoff import Handoff, OnEvent
from gapless.releases import current, reports
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.publisher import journal
from gapless.releases.publisher.journal import Change


def end_of(
    client: Client,
    spec: ReleaseSpec,
    change: Change,
    release: Release,
    *,
    on_wait: Callable[[], None],
    on_event: OnEvent,
) -> tuple[dict[str, Any] | None, bool]:
    """Return the report of a change, and whether its release serves now.

    The report is None if nothing was begun.  Waits for the end of a reload that is under
    way.  Raises GaplessError.
    """
    found = reports.report_of(spec, release.name, socket.gethostname(), change.token)
    described = running_app.describe(client, spec)
    if found is None and described is not None:
        on_wait()
        followed = Handoff(client, None, on_event).follow(spec.app, change.token)
        described = running_app.describe(client, spec)
        if followed is not None:
            old = followed["release"]["old"]
            found = followed | _what(change, release, old)
    serving = running_app.release_that_serves(described)
    link_is_there = current.current_path(spec) == release.path
    serves = serving == release.name if serving else link_is_there
    if found is None and serves:
        found = report.without_handoff(spec.app, change.token)
        found |= _what(change, release, None)
    return found, serves


def _what(change: Change, release: Release, old: str | None) -> dict[str, Any]:
    return {
        "action": change.action,
        "release": {"old": old, "new": release.name},
    }


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
