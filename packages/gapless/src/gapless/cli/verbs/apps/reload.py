"""Hand over to a new generation, with the configuration read again from its file.

If APP is a file, its apps are configured as the file is now; those that do not run are
started.
"""

from __future__ import annotations

import argparse

from gapless.base.errors import DONE
from gapless.cli import app_requests, arguments, operations, output, selection
from gapless.cli.app_requests import AppRequest
from gapless.cli.display import changes
from gapless.client import Client
from gapless.config.file_kinds import TOML, is_configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `reload`."""
    add_shared_arguments(parser)
    parser.add_argument(
        "--recycle",
        action="store_true",
        help="end each instance before its successor starts, in place of a handoff",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would change, and change nothing",
    )
    arguments.add_json(parser)


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `restart` has too."""
    arguments.add_apps(parser)
    arguments.add_file_choice(parser)
    arguments.add_update_env(parser)
    arguments.add_drops(parser)


def run(args: argparse.Namespace) -> int:
    """Reload the apps."""
    client = Client(starts=not args.dry_run)
    wanted = requests_for(client, args, "reload")
    if not args.dry_run:
        return operations.send_all(
            client, wanted, as_json=args.json, recycle=args.recycle, drops=args.drop
        )
    _show(client, wanted, args)
    return DONE


def _show(client: Client, wanted: list[AppRequest], args: argparse.Namespace) -> None:
    """Print what a reload would change; of what does not run, that it would start."""
    rows = client.request("list")["apps"]
    listens = {
        row["name"]: row["addresses"] for row in rows if app_requests.is_reloaded(row)
    }
    reloaded, found = {}, {}
    for each in wanted:
        name = each.spec.name
        if each.action == "reload" and name in listens:
            reloaded[name] = each.spec
        else:  # who names a stopped app has it started
            starts = each.action == "reload"
            found[name] = changes.of_first("start" if starts else each.action)
    found |= {
        name: changes.between(now, reloaded[name], listens[name], args.drop)
        for name, now in app_requests.current_specs(client, reloaded).items()
    }
    if args.json:
        output.print_json(found)
    else:
        changes.print_changes(found)


def requests_for(
    client: Client, args: argparse.Namespace, action: str
) -> list[AppRequest]:
    """Return the requests that APP ... means; apps that are known here get *action*."""
    app_requests.check_drops(args.drop)
    found: list[AppRequest] = []
    words: list[str] = []
    for word in args.app:
        # A restart keeps what was read of a gapless.toml, and reads a PM2 file, as PM2.
        keeps = action == "restart" and word.endswith(TOML)
        if is_configuration(word) and not keeps:
            found += app_requests.from_file(client, word, args)
        else:
            words.append(word)
    if words:
        names = selection.names(client, words)
        found += app_requests.from_apps(client, names, action, args)
    return found
