"""Which apps a command is about: a name, `all`, or a configuration file."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable
from typing import Any

from gapless.base.errors import FAILED, GaplessError, MisuseError, NotFoundError
from gapless.cli import progress, show
from gapless.client import Client
from gapless.config import target


def add(parser: argparse.ArgumentParser, *, several: bool = True) -> None:
    """Add the argument that names apps."""
    parser.add_argument(
        "app",
        metavar="APP",
        nargs="+" if several else None,
        help="a name, `all`, or a gapless.toml",
    )
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="the same for machines")


def names(client: Client, wanted: list[str]) -> list[str]:
    """Return the names of the apps that are meant.  Raises NotFoundError."""
    known = [row["name"] for row in client.request("list")["apps"]]
    found: list[str] = []
    for word in wanted:
        if word == "all":
            found += known
        elif target.is_configuration(word):
            from gapless.config import resolve  # noqa: PLC0415 - only for files

            loaded = resolve.load(word, resolve.inherited(os.environ))
            found += list(loaded.apps)
        else:
            found.append(word)
    unknown = [name for name in found if name not in known]
    if unknown:
        raise NotFoundError(
            f"there is no app named {unknown[0]!r}",
            hint=f"apps here: {', '.join(known) or 'none'}",
        )
    if not found:
        raise NotFoundError("there are no apps here", hint="`gapless start` starts one")
    return list(dict.fromkeys(found))


def one_name(client: Client, wanted: str) -> str:
    """Return the name of the one app that is meant."""
    found = names(client, [wanted])
    if len(found) != 1:
        raise MisuseError(f"{wanted} means {len(found)} apps; name one")
    return found[0]


def each(
    apps: list[str], ask: Callable[[str, Any], dict[str, Any]], *, as_json: bool
) -> int:
    """Ask for every app at the same time, and end in each one's report.

    *ask* is given a name and whom to tell events, and returns a report.
    """
    outcomes: dict[str, dict[str, Any] | GaplessError] = {}
    hear = None if as_json else progress.tell

    def one(app: str) -> None:
        try:
            outcomes[app] = ask(app, hear)
        except GaplessError as error:
            outcomes[app] = error

    threads = [threading.Thread(target=one, args=(app,), daemon=True) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(apps) == 1 and isinstance(error := outcomes[apps[0]], GaplessError):
        raise error
    return _tell([(app, outcomes[app]) for app in apps], as_json=as_json)


def _tell(
    outcomes: list[tuple[str, dict[str, Any] | GaplessError]], *, as_json: bool
) -> int:
    code = 0
    rows = []
    for app, outcome in outcomes:
        if isinstance(outcome, GaplessError):
            code = max(code, outcome.exit_code)
            rows.append({"app": app, "error": outcome.describe()})
            if not as_json:
                print(show.paint(f"{app}: {outcome.message}", "red"))
        elif as_json:
            code = max(code, 0 if outcome["outcome"] == "done" else FAILED)
            rows.append(outcome)
        else:
            code = max(code, progress.end(outcome))
    if as_json:
        show.as_json(rows[0] if len(rows) == 1 else rows)
    return code
