"""Start an app; what runs already is left alone."""

from __future__ import annotations

import argparse
import dataclasses
import os

from gapless.base.errors import MisuseError, NotFoundError
from gapless.cli import selection
from gapless.client import Client
from gapless.config import resolve, target
from gapless.supervisor import spec

REST = "arguments"
"""Where the words behind -- go: they are the program's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `start` understands."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="a gapless.toml, a script, a program, or an app",
    )
    parser.add_argument("--name", default="", help="what to call it")
    parser.add_argument("--instances", "-i", type=int, metavar="N", help="how many")
    parser.add_argument(
        "--only", default="", metavar="APP", help="just this app of a file"
    )
    selection.add_json(parser)
    parser.set_defaults(arguments=[])
    parser.usage = "%(prog)s TARGET [options] [-- ARG ...]"


def run(asked: argparse.Namespace) -> int:
    """Start what was asked for."""
    client = Client()
    wanted = _specs(asked, client)

    def ask(name: str, hear: object) -> dict[str, object]:
        plain = spec.to_wire(wanted[name])
        return client.request("start", hear=hear, spec=plain)  # type: ignore[no-any-return,arg-type]  # JSON

    return selection.each(list(wanted), ask, as_json=asked.json)


def _specs(asked: argparse.Namespace, client: Client) -> dict[str, spec.AppSpec]:
    if asked.instances is not None and asked.instances < 1:
        raise MisuseError(f"cannot run {asked.instances} instances")
    if target.is_configuration(asked.target):
        found = _of_file(asked)
    elif known := _known(asked, client):
        found = [known]
    else:
        found = [
            target.script(
                asked.target,
                asked.arguments,
                name=asked.name,
                instances=asked.instances or 1,
                environment=os.environ,
            )
        ]
    if asked.instances is not None:
        found = [dataclasses.replace(each, instances=asked.instances) for each in found]
    return {each.name: each for each in found}


def _of_file(asked: argparse.Namespace) -> list[spec.AppSpec]:
    loaded = resolve.load(asked.target, resolve.inherited(os.environ))
    wanted = asked.only or asked.name
    if wanted and wanted not in loaded.apps:
        raise NotFoundError(f"{asked.target} declares no app named {wanted!r}")
    found = [loaded.apps[wanted]] if wanted else list(loaded.apps.values())
    if not found:
        raise NotFoundError(f"{asked.target} declares no app")
    return found


def _known(asked: argparse.Namespace, client: Client) -> spec.AppSpec | None:
    """Return the spec of an app that is here and stopped, if the target names it."""
    if os.path.exists(asked.target) or not os.path.exists(client.home.state):
        return None
    rows = client.request("list")["apps"]
    if asked.target not in [row["name"] for row in rows]:
        return None
    from gapless import deploy  # noqa: PLC0415 - only for apps that are known

    described = client.request("describe", app=asked.target)
    return deploy.refreshed(spec.from_wire(described["spec"]), environment=None)
