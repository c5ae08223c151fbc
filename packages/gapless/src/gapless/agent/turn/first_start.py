"""Start an app of a fleet on a host where it does not run yet."""

from __future__ import annotations

import dataclasses
import os
import select
from typing import Any

from gapless.base import app_status, clock, codec
from gapless.base.errors import NotFoundError
from gapless.client import Client
from gapless.config.choice import Choice, inherited
from gapless.config.declarations import declaration_file
from gapless.config.refresh import declared_in
from gapless.config.toml.fleets import Fleet
from gapless.releases import current
from gapless.releases.model import Release, ReleaseSpec
from gapless.supervisor.memory.spec import AppSpec

POLL_S = 0.1
DECLARATIONS = (
    *(f"ecosystem.config.{ending}" for ending in ("js", "cjs", "mjs")),
    *("ecosystem.json", "app.json"),
)
"""Files of a release that may declare the app, if the fleet's file does not."""


def start(
    client: Client, fleet: Fleet, own: ReleaseSpec, release: Release
) -> dict[str, Any]:
    """Start the app from a release; return the report.  Raises GaplessError."""
    if fleet.copy:
        current.flip(own, release)
    inside = (own, release)
    path = declaration(fleet, own, release)
    choice = Choice(
        environment=inherited(os.environ),
        profile=fleet.profile,
        started_in=os.path.dirname(path),
        only=(release.app,),
    )
    declared = declared_in(path, inside)
    found = declared.load(choice).apps
    # In a declaration the app may have another name than in the fleet.
    wanted = dataclasses.replace(next(iter(found.values())), release=release.name)
    report: dict[str, Any] = client.request("start", spec=codec.encode(wanted))
    if report["outcome"] == "done":
        _wait_until_it_listens(client, wanted)
    return report


def _wait_until_it_listens(client: Client, wanted: AppSpec) -> None:
    """Give a slow app the time that it has to be ready: it may be one that listens.

    Without this a fleet would be done before any of its hosts serves.  An app that never
    listens is one without a port; one that ends meanwhile is seen by who watches it.
    """
    until = clock.monotonic() + wanted.ready.timeout_s
    while clock.monotonic() < until:
        described = client.request("describe", app=wanted.name)
        if described["addresses"] or app_status.is_over(described["status"]):
            return
        select.select([], [], [], POLL_S)


def declaration(fleet: Fleet, own: ReleaseSpec, release: Release) -> str:
    """Return the path of the file that declares the app: the fleet's, or the release's.

    A file of the release is named through the link, where the next release has it, too.
    Raises NotFoundError.
    """
    if fleet.declaration:
        return os.path.join(own.link, fleet.declaration)
    if release.app in declaration_file(fleet.file).labels():
        return fleet.file
    for name in DECLARATIONS:
        if os.path.isfile(os.path.join(release.path, name)):
            return os.path.join(own.link, name)
    raise NotFoundError(
        f"{release.app}: neither {fleet.file} nor {release.name} declares it",
        hint=f"write [app.{release.app}], or declaration = in [rollout.{release.app}]",
    )
