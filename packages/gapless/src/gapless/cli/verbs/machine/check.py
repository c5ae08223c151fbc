"""Validate a configuration, and show what a reload would change."""

from __future__ import annotations

import argparse
import os

from gapless.base.errors import DONE
from gapless.cli import app_requests, arguments, output
from gapless.cli.display import changes
from gapless.cli.fleet import trust_warnings
from gapless.cli.this_host import limits, missing
from gapless.client import Client
from gapless.config import shared_ports, sources
from gapless.config.choice import Choice, inherited
from gapless.config.declarations import declaration_file
from gapless.config.refresh import refreshed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `check`."""
    parser.add_argument(
        "file",
        nargs="?",
        default="gapless.toml",
        metavar="FILE",
        help="a gapless.toml or a PM2 file; default: ./gapless.toml",
    )
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check a file."""
    loaded = declaration_file(args.file).load(Choice(environment=inherited(os.environ)))
    app_requests.print_warnings(loaded.warnings)
    client = Client()
    app_requests.print_warnings(trust_warnings.of_file(args.file, loaded.releases))
    app_requests.print_warnings(limits.warnings(client, loaded.apps))
    app_requests.print_warnings(missing.warnings(loaded.apps))
    app_requests.print_warnings(sources.remarks(loaded.apps))
    app_requests.print_warnings(shared_ports.remarks(loaded.apps))
    app_requests.print_warnings(shared_ports.shared(loaded.apps))
    lives = client.is_running()
    rows = client.request("list")["apps"] if lives else []
    listens = {row["name"]: row["addresses"] for row in rows}
    names = [name for name in listens if name in loaded.apps]
    known = app_requests.current_specs(client, names)
    changed = {}
    for app, now in known.items():
        wanted = loaded.apps[app]
        if now.config_file == loaded.path:
            wanted = refreshed(now)
        changed[app] = changes.between(now, wanted, listens[app])
    new = [app for app in loaded.apps if app not in known]
    if args.json:
        output.print_json({"valid": True, "changes": changed, "new": new})
        return DONE
    print(
        f"{args.file}: valid; apps: {', '.join(loaded.apps) or 'none'}; "
        f"releases: {', '.join(loaded.releases) or 'none'}"
    )
    changes.print_changes(changed)
    for app in new:
        print(f"{app}: does not run yet; `gapless start {args.file}` starts it")
    return DONE
