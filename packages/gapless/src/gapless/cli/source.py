"""Where a command about releases finds their configuration."""

from __future__ import annotations

import argparse
import os

from gapless.base.errors import MisuseError, NotFoundError
from gapless.client import Client
from gapless.config import resolve
from gapless.releases import inbox
from gapless.releases.model import ReleaseSpec


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


def load(config: str, app: str = "") -> dict[str, ReleaseSpec]:
    """Return the release configurations that are meant.  Raises NotFoundError."""
    path = config or _configuration_of(app) or "gapless.toml"
    found = resolve.load_releases(path, resolve.inherited(os.environ))
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
    owner = inbox.owner(found, name)
    if owner:
        return found[owner]
    if len(found) == 1:
        return next(iter(found.values()))
    raise MisuseError(
        f"{name} could be of any of: {', '.join(found)}", hint="say which with --app"
    )


def _guess(tarball: str) -> str:
    name = os.path.basename(tarball)
    return next((name[: -len(e)] for e in inbox.ENDINGS if name.endswith(e)), name)


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
