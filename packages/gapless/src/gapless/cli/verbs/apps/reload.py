"""Hand over to a new generation, with the configuration as its file has it now.

If APP is a PM2 file, its apps take what the file says now; those that do not run are
started.
"""

from __future__ import annotations

import argparse

from gapless.cli import changes, output, requests, selection
from gapless.cli.requests import AppRequest
from gapless.client import Client
from gapless.config.file_kinds import is_configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `reload` understands."""
    selection.add(parser)
    add_options(parser)
    parser.add_argument(
        "--recycle",
        action="store_true",
        help="one instance ends before the next one starts, in place of a handoff",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only print what would change"
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `restart` understands too."""
    requests.add_options(parser)
    parser.add_argument(
        "--update-env", action="store_true", help="take over this shell's environment"
    )


def run(asked: argparse.Namespace) -> int:
    """Reload what was asked for."""
    client = Client()
    wanted = requests_for(client, asked, "reload")
    if not asked.dry_run:
        return requests.send(client, wanted, as_json=asked.json, recycle=asked.recycle)
    found = {}
    for each in wanted:
        if each.action == "reload":
            now = requests.described(client, each.spec.name)
            found[each.spec.name] = changes.between(now, each.spec)
    if asked.json:
        output.as_json(found)
    else:
        changes.show(found)
    return 0


def requests_for(
    client: Client, asked: argparse.Namespace, action: str
) -> list[AppRequest]:
    """Return what the words ask for: files by what they say, apps by *action*."""
    found: list[AppRequest] = []
    words: list[str] = []
    for word in asked.app:
        if is_configuration(word) and not word.endswith(".toml"):
            found += requests.from_file(client, word, asked)
        else:
            words.append(word)
    if words:
        names = selection.names(client, words)
        update_env = asked.update_env
        found += requests.from_apps(client, names, action, update_env=update_env)
    return found
