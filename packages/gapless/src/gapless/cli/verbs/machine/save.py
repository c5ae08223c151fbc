"""Save the list of apps for `gapless resurrect`: their configuration, and which run.

The supervisor remembers its apps by itself; this list is for a state to come back to.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from gapless.base import app_status, codec, files
from gapless.base.errors import DONE, MisuseError, UnavailableError
from gapless.cli import arguments, output
from gapless.client import Client
from gapless.supervisor.memory.spec import AppSpec

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedApp:
    """One app of the list."""

    spec: AppSpec
    running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """The content of the file."""

    version: int
    apps: tuple[SavedApp, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `save`."""
    parser.add_argument(
        "--force", action="store_true", help="save also if there is no app here"
    )
    parser.set_defaults(clear=False)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Save the list."""
    client = Client(starts=False)
    if args.clear:
        return _write(client, [], args)
    apps = []
    found = client.request("list")
    if found["supervisor"] is None:
        raise UnavailableError(
            "no supervisor runs here: which apps are to run cannot be told",
            hint=f"{client.home.dump} is as it was",
        )
    for row in found["apps"]:
        described = client.request("describe", app=row["name"])
        running = app_status.is_wanted(row["status"])
        spec = codec.decode(AppSpec, described["spec"])
        apps.append(SavedApp(spec=spec, running=running))
    if not apps and not args.force:
        raise MisuseError(
            f"there is no app here; {client.home.dump} is as it was",
            hint="`gapless save --force` saves an empty list",
        )
    return _write(client, apps, args)


def _write(client: Client, apps: list[SavedApp], args: argparse.Namespace) -> int:
    """Write the list, and say so."""
    client.make_home()
    # Environments hold secrets: only the owner may read the file (0600).
    dump = Dump(version=VERSION, apps=tuple(apps))
    files.write_json(client.home.dump, codec.encode(dump))
    if args.json:
        output.print_json({"saved": client.home.dump, "apps": len(apps)})
    else:
        print(f"saved {output.count(len(apps), 'app')} to {client.home.dump}")
    return DONE
