"""Start the apps that `gapless save` listed; apps that run are left alone."""

from __future__ import annotations

import argparse

from gapless.base import codec, files
from gapless.base.disk import set_aside
from gapless.base.errors import DONE, GaplessError, NotFoundError
from gapless.cli import arguments, operations, output
from gapless.cli.app_requests import AppRequest
from gapless.cli.verbs.machine import save
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `resurrect`."""
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Start what the list has and does not run."""
    client = Client()
    saved = _read(client.home.dump)
    rows = {
        row["name"]: row["status"]
        for row in client.request("list", only="names")["apps"]
    }
    wanted = []
    for each in saved:
        running, found = each.running, each.spec
        if rows.get(found.name, "stopped") == "stopped" and (
            running or found.name not in rows
        ):
            action = "start" if running else "register"
            wanted.append(AppRequest(action=action, spec=found))
    if wanted:
        return operations.send_all(client, wanted, as_json=args.json)
    if args.json:
        output.print_json([])
    else:
        print(f"nothing to do: all {len(saved)} apps of {client.home.dump} are here")
    return DONE


def _read(path: str) -> tuple[save.SavedApp, ...]:
    """Return what was saved.  Raises GaplessError."""
    try:
        plain = files.read_own_json(path)
        if plain is None:
            raise NotFoundError(f"there is no {path}", hint="`gapless save` writes it")
        codec.check_plain(plain, "dump")
        dump = codec.decode(save.Dump, plain, "dump")
        if dump.version != save.VERSION:
            raise ValueError(f"version {dump.version} is not {save.VERSION}")
    except (ValueError, OSError) as error:
        is_bad = isinstance(error, ValueError) or set_aside.is_foreign(error)
        aside = set_aside.set_aside(path) if is_bad else ""
        raise GaplessError(
            f"could not read {path}: {error}",
            hint=f"it is {aside} now; start the apps from their files, and `gapless save`"
            if aside
            else "",
        ) from error
    return dump.apps
