"""The app of a release on this host: whether it runs from the release's link."""

from __future__ import annotations

import os
from typing import Any

from gapless.base import app_status
from gapless.base.errors import NotFoundError
from gapless.client import Client
from gapless.releases.model import ReleaseSpec, stamp_of

_PROVEN = ("serving", "yielding", "standby")
"""Roles of a generation that took all connections, and has proved itself."""
MOST_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""


def describe(client: Client, releases: ReleaseSpec) -> dict[str, Any] | None:
    """Return the description of an app if it runs here from its link."""
    if not client.has_apps():
        return None
    rows = client.request("list")["apps"]
    if releases.app not in [row["name"] for row in rows]:
        return None
    found: dict[str, Any] = client.request("describe", app=releases.app)
    runs = app_status.is_wanted(found["status"])
    return found if runs and _is_below_link(found["spec"], releases) else None


def release_that_serves(described: dict[str, Any] | None) -> str:
    """Return the name of the release that has proved itself and serves; or empty."""
    for each in reversed(described["generations"] if described else ()):
        if each["role"] in _PROVEN:
            return str(each["release"] or "")
    return ""


def directories(client: Client, releases: ReleaseSpec) -> frozenset[str]:
    """Return the directories that generations of an app run from.

    Those that finish count too, also where the app was stopped.
    """
    return frozenset(each["directory"] for each in _generations(client, releases))


def releases_in_use(client: Client, releases: ReleaseSpec) -> tuple[str, ...]:
    """Return the names of the releases that generations of an app run from, sorted."""
    names, dist = set[str](), os.path.realpath(releases.dist)
    for each in _generations(client, releases):
        names.add(str(each["release"] or ""))
        below = os.path.relpath(os.path.realpath(each["directory"]), dist)
        names.add(below.partition("/")[0])
    return tuple(sorted(name for name in names if stamp_of(releases.app, name)))


def _generations(client: Client, releases: ReleaseSpec) -> list[dict[str, Any]]:
    if not client.has_apps():
        return []
    try:
        found = client.request("describe", app=releases.app)
    except NotFoundError:
        return []
    generations: list[dict[str, Any]] = found["generations"]
    return generations


def _is_below_link(plain: dict[str, Any], releases: ReleaseSpec) -> bool:
    """Return whether an app's directory is the link, or leads through it."""
    at = plain["declared_directory"] or plain["directory"]
    link = os.path.abspath(releases.link)
    for _ in range(MOST_LINKS):
        if at == link or at.startswith(f"{link}/"):
            return True
        if not os.path.islink(at):
            return False
        at = os.path.normpath(os.path.join(os.path.dirname(at), os.readlink(at)))
    return False
