"""A whole gapless.toml: the tables of each kind, and all mistakes in one message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from gapless.base import paths
from gapless.base.errors import MisuseError
from gapless.base.names import is_app_name
from gapless.config import after
from gapless.config.configuration import Configuration
from gapless.config.toml import apps, releases
from gapless.config.toml.document import Document, read
from gapless.releases.model import ReleaseSpec
from gapless.supervisor.memory.spec import AppSpec

TABLES = ("app", "release", "rollout", "coordinator", "notify")
Built = TypeVar("Built")


def load(
    path: str,
    environment: Mapping[str, str],
    *,
    redirect: Callable[[str], str] = str,
) -> Configuration:
    """Read a gapless.toml; the apps inherit *environment*.

    *redirect* may return another path for the file and for the apps' directories.

    Raises MisuseError that names every mistake, NotFoundError for a file, a directory or a
    program that does not exist.
    """
    document = read(Path(redirect(paths.absolute(path))))
    # Relative paths begin beside the path that the caller gave.
    document = replace(document, path=Path(path))
    mistakes = [
        document.message_for(
            (name,),
            "unknown table; known: [app.NAME], [release.NAME], [rollout.NAME], "
            "[coordinator], [notify.NAME]",
        )
        for name in document.tables
        if name not in TABLES
    ]

    def build_app(name: str) -> AppSpec:
        return apps.build(document, name, environment, redirect)

    declared = _build_each(document, "app", mistakes, build_app)
    if not mistakes:
        mistakes += [
            document.message_for(("app", name, "after"), problem)
            for name, problem in after.mistakes(
                {name: each.after for name, each in declared.items()}
            )
        ]
    released = _releases(document, mistakes, environment)
    if "notify" in document.tables:
        from gapless.config.toml import notify  # noqa: PLC0415 - for few files

        build = partial(notify.build, document, with_secrets=False)
        _build_each(document, "notify", mistakes, build)
    if not declared and not released and not mistakes:
        mistakes.append(f"{path}: there is no [app.NAME] in it")
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return Configuration(path=paths.absolute(path), apps=declared, releases=released)


def load_releases(path: str, environment: Mapping[str, str]) -> dict[str, ReleaseSpec]:
    """Read the [release.NAME] tables only: an app may not exist before its release.

    Raises MisuseError, NotFoundError.
    """
    mistakes: list[str] = []
    released = _releases(read(Path(path)), mistakes, environment)
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return released


def labels(path: str) -> list[str]:
    """Return the names of the [app.NAME] tables, without checking the tables."""
    found = read(Path(path)).tables.get("app", {})
    return list(found) if isinstance(found, dict) else []


def _releases(
    document: Document, mistakes: list[str], environment: Mapping[str, str]
) -> dict[str, ReleaseSpec]:
    def build_release(name: str) -> ReleaseSpec:
        return releases.build(document, name, environment)

    return _build_each(document, "release", mistakes, build_release)


def _build_each(
    document: Document, kind: str, mistakes: list[str], build: Callable[[str], Built]
) -> dict[str, Built]:
    """Build every table of a kind; add what is wrong with them to *mistakes*."""
    tables = document.tables.get(kind, {})
    if not isinstance(tables, dict):
        mistakes.append(document.message_for((kind,), f"write it as [{kind}.NAME]"))
        return {}
    built = {}
    for name, table in tables.items():
        keys = (kind, name)
        if not isinstance(table, dict):
            mistakes.append(document.message_for(keys, f"write it as [{kind}.NAME]"))
        elif not is_app_name(name):
            mistakes.append(document.message_for(keys, "this cannot name an app"))
        else:
            try:
                built[name] = build(name)
            except MisuseError as error:
                mistakes.append(error.message)
    return built
