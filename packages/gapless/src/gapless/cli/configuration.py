"""The configuration that a command about releases or fleets uses."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gapless.base.errors import MisuseError, NotFoundError
from gapless.client import Client
from gapless.config.choice import inherited
from gapless.config.toml import tables
from gapless.releases.inbox import uploads
from gapless.releases.model import ReleaseSpec
from gapless.releases.tarballs import ending_of

if TYPE_CHECKING:
    from gapless.config.toml.fleets import Fleet


def releases(config: str, app: str = "") -> dict[str, ReleaseSpec]:
    """Return the release configurations of all apps.  Raises NotFoundError."""
    path = _path(config, app)
    found = tables.load_releases(path, inherited(os.environ))
    if not found:
        raise NotFoundError(
            f"{path} has no [release.NAME]",
            hint="it says where releases are: [release.NAME], for the app of that name, "
            'and below it base = "/srv/releases"',
        )
    return found


def release(config: str, app: str) -> ReleaseSpec:
    """Return the release configuration of one app.  Raises NotFoundError."""
    found = releases(config, app)
    if app not in found:
        raise NotFoundError(
            f"there is no [release.{app}] in the configuration",
            hint=f"it has: {', '.join(found)}",
        )
    return found[app]


def release_of_tarball(config: str, app: str, tarball: str) -> ReleaseSpec:
    """Return the release configuration for a tarball: of *app*, or by its name.

    Raises NotFoundError, MisuseError.
    """
    if app:
        return release(config, app)
    name = os.path.basename(tarball)
    found = releases(config, name.removesuffix(ending_of(name)))
    return found[app_of(found, name, shown=name)]


def app_of(apps: Iterable[str], name: str, *, shown: str) -> str:
    """Return the app to which an upload belongs by its name, else the only app there is.

    Empty if there are no apps.  Raises MisuseError, with *shown* in its message.
    """
    known = list(apps)
    owner = uploads.owner(known, name)
    if not owner and len(known) > 1:
        raise MisuseError(
            f"{shown} could be of any of: {', '.join(known)}",
            hint="name the app with --app",
        )
    return owner or next(iter(known), "")


def fleets(config: str, app: str = "") -> dict[str, Fleet]:
    """Return the fleets that the configuration declares; it may declare none."""
    from gapless.config.toml import fleets as config_fleets  # noqa: PLC0415 - for few verbs

    return config_fleets.load(_path(config, app), inherited(os.environ))


def fleet(config: str, app: str) -> Fleet:
    """Return the fleet of an app; without an app, the only fleet there is.

    Raises NotFoundError, MisuseError.
    """
    found = fleets(config, app)
    if not app and len(found) == 1:
        return next(iter(found.values()))
    if not app and found:
        raise MisuseError("which app?", hint=f"fleets here: {', '.join(found)}")
    if app not in found:
        raise NotFoundError(
            f"{_path(config, app)} has no [rollout.{app or 'NAME'}]",
            hint="it says how a fleet changes: slots = 1",
        )
    return found[app]


def drain_timeout_s(fleet: Fleet) -> float:
    """Return stop.drain_timeout_s of a fleet's app; 0 if its file does not declare it.

    Raises MisuseError.
    """
    from gapless.config.toml import app_schema, document  # noqa: PLC0415 - for few verbs

    found = document.read(Path(fleet.file))
    app = fleet.release.app
    declared = found.tables.get("app", {}).get(app)
    if not isinstance(declared, dict) or "stop" not in declared:
        return 0.0
    table: app_schema.Stop = document.decode(
        found, ("app", app, "stop"), app_schema.Stop
    )
    return table.drain_timeout_s


def _path(config: str, app: str) -> str:
    return config or _file_of_running(app) or "gapless.toml"


def _file_of_running(app: str) -> str:
    """Return the gapless.toml of a running app, if there is none in this directory."""
    if not app or os.path.exists("gapless.toml"):
        return ""
    client = Client()
    if not client.is_running():
        return ""
    for row in client.request("list")["apps"]:
        if row["name"] == app:
            found = str(client.request("describe", app=app)["spec"]["config_file"])
            return found if found.endswith(".toml") else ""
    return ""
