"""The tables of one kind in a gapless.toml, and the whole file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from gapless.base import paths
from gapless.base.errors import MisuseError
from gapless.base.names import is_app_name
from gapless.config.configuration import Configuration
from gapless.config.toml import apps, document, releases, schema
from gapless.config.toml.document import Document
from gapless.releases.model import ReleaseSpec
from gapless.supervisor.memory.spec import AppSpec

Built = TypeVar("Built")


def load(
    path: str,
    environment: Mapping[str, str],
    *,
    redirect: Callable[[str], str] = str,
) -> Configuration:
    """Read a gapless.toml; *environment* is what the apps inherit.

    *redirect* may put another path in the place of the file and of the directories.

    Raises MisuseError that names every mistake, NotFoundError for what does not exist.
    """
    found = document.read(Path(redirect(paths.absolute(path))))
    found.path = Path(path)  # relative paths are relative to where it was asked for
    mistakes = [
        found.complaint(
            (name,),
            "unknown table; known: [app.NAME], [release.NAME], [rollout.NAME], "
            "[coordinator]",
        )
        for name in found.tables
        if name not in (*schema.TABLES, "coordinator")
    ]

    def app(name: str) -> AppSpec:
        return apps.build(found, name, environment, redirect)

    declared = _each(found, "app", mistakes, app)
    released = _releases(found, mistakes, environment)
    if not declared and not released and not mistakes:
        mistakes.append(f"{path}: there is no [app.NAME] in it")
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return Configuration(paths.absolute(path), declared, released)


def load_releases(path: str, environment: Mapping[str, str]) -> dict[str, ReleaseSpec]:
    """Read the [release.NAME] tables alone: an app may not exist before its release.

    Raises MisuseError, NotFoundError.
    """
    mistakes: list[str] = []
    released = _releases(document.read(Path(path)), mistakes, environment)
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return released


def labels(path: str) -> list[str]:
    """Return the names of the [app.NAME] tables; they need not be right otherwise."""
    found = document.read(Path(path)).tables.get("app", {})
    return list(found) if isinstance(found, dict) else []


def _releases(
    found: Document, mistakes: list[str], environment: Mapping[str, str]
) -> dict[str, ReleaseSpec]:
    def release(name: str) -> ReleaseSpec:
        return releases.build(found, name, environment)

    return _each(found, "release", mistakes, release)


def _each(
    found: Document, kind: str, mistakes: list[str], build: Callable[[str], Built]
) -> dict[str, Built]:
    """Build every table of a kind; a mistake in one does not hide those in others."""
    tables = found.tables.get(kind, {})
    if not isinstance(tables, dict):
        mistakes.append(found.complaint((kind,), f"write it as [{kind}.NAME]"))
        return {}
    built = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            mistakes.append(found.complaint((kind, name), f"write it as [{kind}.NAME]"))
        elif not is_app_name(name):
            mistakes.append(found.complaint((kind, name), "this cannot name an app"))
        else:
            try:
                built[name] = build(name)
            except MisuseError as error:
                mistakes.append(error.message)
    return built
