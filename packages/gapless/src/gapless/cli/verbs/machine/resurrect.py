"""Bring back the apps that `gapless save` kept; what runs is left alone."""

from __future__ import annotations

import argparse
from typing import Any

from gapless.base import codec, files
from gapless.base.errors import GaplessError, NotFoundError
from gapless.cli import output, requests, selection
from gapless.cli.requests import AppRequest
from gapless.cli.verbs.machine import save
from gapless.client import Client
from gapless.supervisor.memory import spec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `resurrect` understands."""
    selection.add_json(parser)


def run(asked: argparse.Namespace) -> int:
    """Bring them back."""
    client = Client()
    kept = _read(client.home.dump)
    rows = {row["name"]: row["status"] for row in client.request("list")["apps"]}
    wanted = []
    for each in kept:
        found = codec.decode(spec.AppSpec, each["spec"])
        if rows.get(found.name, "stopped") == "stopped" and (
            each["running"] or found.name not in rows
        ):
            action = "start" if each["running"] else "register"
            wanted.append(AppRequest(action, found))
    if not wanted:
        if asked.json:
            output.as_json([])
        else:
            print(f"nothing to do: all {len(kept)} apps of {client.home.dump} are here")
        return 0
    return requests.send(client, wanted, as_json=asked.json)


def _read(path: str) -> list[dict[str, Any]]:
    try:
        kept = files.read_json(path)
        if kept is None:
            raise NotFoundError(f"there is no {path}", hint="`gapless save` writes it")
        if kept["version"] != save.VERSION:
            raise ValueError(f"version {kept['version']} is not {save.VERSION}")
        return list(kept["apps"])
    except (ValueError, KeyError, TypeError) as error:
        raise GaplessError(f"could not read {path}: {error!r}") from error
