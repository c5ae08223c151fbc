"""Hand over to a new generation, with the configuration as its file has it now.

Named by a PM2 file, apps take what that file says, and those that do not run are started.
"""

from __future__ import annotations

import argparse

from gapless.cli import changes, output, requests, selection
from gapless.cli.requests import Wish
from gapless.client import Client
from gapless.config import load


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
        "--dry-run", action="store_true", help="only tell what would change"
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
    wanted = wanted_of(client, asked, "reload")
    if asked.dry_run:
        found = {
            each.spec.name: changes.between(
                requests.described(client, each.spec.name), each.spec
            )
            for each in wanted
            if each.op == "reload"
        }
        if asked.json:
            output.as_json(found)
        else:
            changes.tell(found)
        return 0
    return requests.carry_out(client, wanted, as_json=asked.json, recycle=asked.recycle)


def wanted_of(client: Client, asked: argparse.Namespace, op: str) -> list[Wish]:
    """Return what the words ask for: files by what they say, apps by *op*."""
    found: list[Wish] = []
    words: list[str] = []
    for word in asked.app:
        if load.is_configuration(word) and not word.endswith(".toml"):
            found += requests.of_file(client, word, asked)
        else:
            words.append(word)
    if words:
        names = selection.names(client, words)
        found += requests.of_apps(client, names, op, update_env=asked.update_env)
    return found
