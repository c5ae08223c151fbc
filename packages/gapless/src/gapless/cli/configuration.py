"""Where a command about releases finds their configuration."""

from __future__ import annotations

import argparse
import os
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


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where."""
    parser.add_argument(
        "-c",
        "--config",
        default="",
        metavar="FILE",
        help="the gapless.toml with [release.NAME]; default: the app's own, or ./",
    )
    parser.add_argument("--json", action="store_true", help="the same for machines")


def fleets(config: str, app: str = "") -> dict[str, Fleet]:
    """Return the fleets that the configuration declares; it may declare none."""
    from gapless.config.toml import fleets as config_fleets  # noqa: PLC0415 - loads TLS

    return config_fleets.load(_path(config, app), inherited(os.environ))


def one_fleet(config: str, app: str) -> Fleet:
    """Return one fleet; the only one there is if no app is named.

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


def _path(config: str, app: str) -> str:
    return config or _configuration_of(app) or "gapless.toml"


def load(config: str, app: str = "") -> dict[str, ReleaseSpec]:
    """Return the release configurations that are meant.  Raises NotFoundError."""
    path = _path(config, app)
    found = tables.load_releases(path, inherited(os.environ))
    if not found:
        raise NotFoundError(
            f"{path} has no [release.NAME]",
            hint="it says where releases are: base = ...",
        )
    return found


def one(config: str, app: str) -> ReleaseSpec:
    """Return the release configuration of one app.  Raises NotFoundError."""
    found = load(config, app)
    if app not in found:
        raise NotFoundError(
            f"there is no [release.{app}] in the configuration",
            hint=f"it has: {', '.join(found)}",
        )
    return found[app]


def of_tarball(config: str, app: str, tarball: str) -> ReleaseSpec:
    """Return whose tarball it is: by --app, by its name, or the only one there is."""
    if app:
        return one(config, app)
    found = load(config, _guess(tarball))
    name = os.path.basename(tarball)
    owner = uploads.owner(found, name)
    if owner:
        return found[owner]
    if len(found) == 1:
        return next(iter(found.values()))
    raise MisuseError(
        f"{name} could be of any of: {', '.join(found)}", hint="say which with --app"
    )


def _guess(tarball: str) -> str:
    name = os.path.basename(tarball)
    return name.removesuffix(ending_of(name))


def _configuration_of(app: str) -> str:
    """Return the file from which a running app was configured, if there is one."""
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
