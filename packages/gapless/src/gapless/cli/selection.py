"""Which apps a command is about: names, ids, namespaces, patterns, files, or `all`."""

from __future__ import annotations

import argparse
import re
import threading
from collections.abc import Callable
from typing import Any

from gapless.base.errors import FAILED, GaplessError, MisuseError, NotFoundError
from gapless.cli import output, progress
from gapless.client import Client
from gapless.config.declarations import declaration_file
from gapless.config.file_kinds import is_configuration


def add(parser: argparse.ArgumentParser, *, several: bool = True) -> None:
    """Add the argument that names apps."""
    parser.add_argument(
        "app",
        metavar="APP",
        nargs="+" if several else None,
        help="a name, an id, a namespace, /a pattern/, a file, - or `all`",
    )
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="the same for machines")


def names(client: Client, wanted: list[str], *, ends: bool = False) -> list[str]:
    """Return the names of the apps that are meant.

    With *ends*, the number of one instance among several does not mean its app: who
    wants to end one would end all.  Raises NotFoundError, MisuseError.
    """
    rows = client.request("list")["apps"]
    known = [row["name"] for row in rows]
    found: list[str] = []
    for word in wanted:
        meant = _meant(word, rows)
        if not meant and word != "all":
            raise NotFoundError(
                f"there is no app named {word!r}",
                hint=f"apps here: {', '.join(known) or 'none'}",
            )
        if ends and word.isdigit() and word not in known:
            _refuse_one_of_many(word, rows, meant[0])
        found += meant
    if not found:
        raise NotFoundError("there are no apps here", hint="`gapless start` starts one")
    return list(dict.fromkeys(found))


def known(client: Client, word: str) -> list[str]:
    """Return the names of the apps that a word means; none if it means none."""
    return _meant(word, client.request("list")["apps"])


def _meant(word: str, rows: list[dict[str, Any]]) -> list[str]:
    names = [row["name"] for row in rows]
    if word == "all":
        return names
    if word in names:
        return [word]
    if word.isdigit():
        return [row["name"] for row in rows if int(word) in row["ids"]]
    if len(word) > 2 and word[0] == word[-1] == "/":
        try:
            pattern = re.compile(word[1:-1])
        except re.error as error:
            raise MisuseError(f"{word} is no regular expression: {error}") from None
        return [name for name in names if pattern.search(name)]
    if is_configuration(word):
        labels = declaration_file(word).labels()
        return [row["name"] for row in rows if row["label"] in labels]
    return [row["name"] for row in rows if row["namespace"] == word]


def _refuse_one_of_many(word: str, rows: list[dict[str, Any]], name: str) -> None:
    row = next(row for row in rows if row["name"] == name)
    count = len(row["ids"])
    if count > 1:
        raise MisuseError(
            f"{word} is one of {count} instances of {name}, which end together",
            hint=f"`gapless scale {name} {count - 1}` runs one less; "
            f"`gapless stop {name}` ends all",
        )


def one_name(client: Client, wanted: str) -> str:
    """Return the name of the one app that is meant."""
    found = names(client, [wanted])
    if len(found) != 1:
        raise MisuseError(f"{wanted} means {len(found)} apps; name one")
    return found[0]


def each(
    apps: list[str], ask: Callable[[str, Any], dict[str, Any]], *, as_json: bool
) -> int:
    """Request something for every app at the same time, and show each report.

    *ask* is called with a name and what shows progress, and returns a report.
    """
    outcomes: dict[str, dict[str, Any] | GaplessError] = {}
    show = None if as_json else progress.show_step

    def one(app: str) -> None:
        try:
            outcomes[app] = ask(app, show)
        except GaplessError as error:
            outcomes[app] = error

    threads = [threading.Thread(target=one, args=(app,), daemon=True) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(apps) == 1 and isinstance(error := outcomes[apps[0]], GaplessError):
        raise error
    return _show([(app, outcomes[app]) for app in apps], as_json=as_json)


def end(asked: argparse.Namespace, action: str) -> int:
    """Stop or delete the apps that are meant; return the exit code."""
    client = Client()
    apps = names(client, asked.app, ends=True)

    def ask(app: str, progress: Any) -> dict[str, Any]:
        report: dict[str, Any] = client.request(action, on_event=progress, app=app)
        return report

    return each(apps, ask, as_json=asked.json)


def _show(
    outcomes: list[tuple[str, dict[str, Any] | GaplessError]], *, as_json: bool
) -> int:
    code = 0
    rows = []
    for app, outcome in outcomes:
        if isinstance(outcome, GaplessError):
            code = max(code, outcome.exit_code)
            rows.append({"app": app, "error": outcome.describe()})
            if not as_json:
                print(output.paint(f"{app}: {outcome.message}", "red"))
        elif as_json:
            code = max(code, 0 if outcome["outcome"] == "done" else FAILED)
            rows.append(outcome)
        else:
            code = max(code, progress.show_report(outcome))
    if as_json:
        output.as_json(rows[0] if len(rows) == 1 else rows)
    return code
