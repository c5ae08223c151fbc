"""The apps that a command names: by name, id, namespace, pattern, file or `all`."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection
from typing import Any

from gapless.base.errors import MisuseError, NotFoundError
from gapless.client import Client
from gapless.config.declarations import declaration_file
from gapless.config.file_kinds import is_configuration

_MOST_BEFORE_SCRIPT = 8
"""The script is among the first words: behind its interpreter and that one's options."""


def names(
    client: Client,
    wanted: list[str],
    *,
    ends: bool = False,
    only: Collection[str] = (),
) -> list[str]:
    """Return the names of the apps that some words mean.

    *ends*: the command ends the apps.  Then the id of one instance among several is
    refused: its app would end as a whole.  *only*: of a file, the apps with these labels.
    Raises NotFoundError, MisuseError.
    """
    rows = client.request("list", only="names")["apps"]
    known = [row["name"] for row in rows]
    found: list[str] = []
    for word in wanted:
        meant = _meant(word, rows, only) or _of_script(client, word)
        if not meant and word != "all":
            with contextlib.suppress(NotFoundError):  # it says more of one left alone
                client.request("describe", app=word, only="spec")
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


def after(client: Client) -> dict[str, list[str]]:
    """Return the apps that each app here is after."""
    rows = client.request("list", only="names")["apps"]
    return {row["name"]: row.get("after", []) for row in rows}


def one_name(client: Client, word: str) -> str:
    """Return the name of the one app that a word means.

    Raises NotFoundError, MisuseError.
    """
    found = names(client, [word])
    if len(found) != 1:
        raise MisuseError(f"{word} means {len(found)} apps; name one")
    return found[0]


def of_alias(client: Client, words: Collection[str]) -> list[str]:
    """Return words, the apps of an alias in its place: as PM2, where names are shared."""
    rows = client.request("list", only="names")["apps"]
    by_alias: dict[str, list[str]] = {}
    for row in rows:
        by_alias.setdefault(row.get("alias") or row["name"], []).append(row["name"])
    return [name for word in words for name in by_alias.get(word, [word])]


def names_or_none(client: Client, word: str) -> list[str]:
    """Return the names of the apps that a word means; an empty list if it means none."""
    return _meant(word, client.request("list", only="names")["apps"], ())


def _meant(word: str, rows: list[dict[str, Any]], only: Collection[str]) -> list[str]:
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
        declared = declaration_file(word).labels()
        for label in only:
            if label not in declared:
                raise NotFoundError(
                    f"{word} declares no app named {label!r}",
                    hint=f"it declares: {', '.join(declared)}",
                )
        labels = only or declared
        return [row["name"] for row in rows if row["label"] in labels]
    return [row["name"] for row in rows if row["namespace"] == word]


def _of_script(client: Client, word: str) -> list[str]:
    """Return the apps whose program is a script: by its path, or its name alone."""
    if "." not in os.path.basename(word):
        return []
    rows = client.request("list", only="specs")["apps"]
    return [row["name"] for row in rows if _runs(row.get("spec") or {}, word)]


def _runs(spec: dict[str, Any], word: str) -> bool:
    directory = spec.get("directory", "")
    is_path = "/" in word
    wanted = os.path.realpath(word) if is_path else word
    for argument in spec.get("command", ())[:_MOST_BEFORE_SCRIPT]:
        path = os.path.realpath(os.path.join(directory, argument))
        if wanted == (path if is_path else os.path.basename(path)):
            return True
    return False


def _refuse_one_of_many(word: str, rows: list[dict[str, Any]], name: str) -> None:
    row = next(row for row in rows if row["name"] == name)
    count = len(row["ids"])
    if count > 1:
        raise MisuseError(
            f"{word} is one of {count} instances of {name}, which end together",
            hint=f"`gapless scale {name} {count - 1}` runs one less; "
            f"`gapless stop {name}` ends all",
        )
