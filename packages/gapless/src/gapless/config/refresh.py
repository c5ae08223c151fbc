"""The configuration of a running app for its next generation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gapless.base.errors import HandoffError, MisuseError
from gapless.base.names import is_app_name
from gapless.config.choice import Choice, choice_of, label_of
from gapless.config.declarations import DeclarationFile, declaration_file
from gapless.config.file_kinds import TOML, is_configuration
from gapless.config.release_name import release_name
from gapless.config.script import LIKE_PM2, load_script
from gapless.releases.model import Release, ReleaseSpec
from gapless.supervisor.memory.spec import AppSpec

LinkedRelease = tuple[ReleaseSpec, Release]
"""A release, and the spec whose link is followed as if it named that release."""


def refreshed(
    running: AppSpec,
    *,
    environment: Mapping[str, str] | None = None,
    profile: str | None = None,
    changes: Mapping[str, Any] | None = None,
    inside: LinkedRelease | None = None,
    warnings: list[str] | None = None,
) -> AppSpec:
    """Return the configuration of a running app from its file, read now.

    The app inherits the environment that it was started with, or *environment*; its
    profile is the one that it was started with, or *profile*.  *changes* are fields of
    PM2 that are set anew, and stay so; a name becomes its alias.  With *inside*, paths
    through the link of a release lead into that release.  What the file has in it that
    has no effect is added to *warnings*.  Raises GaplessError.
    """
    if profile is not None and not _has_profiles(running.config_file):
        raise MisuseError(
            f"{running.name}: --env chooses within a PM2 file, and it was started from "
            f"{running.config_file or 'the command line'}",
            hint="a gapless.toml has one environment: use one file for each, or an "
            "environment_file; `gapless reload APP --update-env` takes this shell's",
        )
    fields = dict(changes or {})
    if fields:
        _check_changes(running)
    alias = _alias(running, str(fields.pop("name", "")))
    choice = choice_of(running)
    if not running.config_file and fields:
        renewed = _described_anew(running, choice, fields, environment)
        return replace(renewed, alias=alias)
    if not running.config_file:
        renewed = relocated(running, environment=environment, inside=inside)
        return replace(renewed, alias=alias)
    if fields:
        choice = replace(choice, overrides={**choice.overrides, **fields})
    if environment is not None:
        choice = replace(choice, environment=environment)
    if profile is not None:
        choice = replace(choice, profile=profile)
    path = running.config_file
    declared = declared_in(path, inside)
    if label_of(running) not in declared.labels():
        raise HandoffError(
            f"{running.name}: {path} no longer declares it",
            hint=f"`gapless delete {running.name}` ends it",
        )
    loaded = declared.load(choice)
    if warnings is not None:
        warnings += [each for each in loaded.warnings if each not in warnings]
    return replace(next(iter(loaded.apps.values())), alias=alias)


def _alias(running: AppSpec, wanted: str) -> str:
    """Return what PM2 calls an app from now on, if that is not its name here.

    Its name stays: its sockets, logs and notes have it.  Raises MisuseError.
    """
    if wanted and not is_app_name(wanted):
        raise MisuseError(f"{running.name}: {wanted!r} cannot name an app")
    return running.alias if not wanted else "" if wanted == running.name else wanted


def _check_changes(running: AppSpec) -> None:
    """Raise MisuseError if the settings of a running app are not for a command line."""
    if running.config_file.endswith(TOML):
        raise MisuseError(
            f"{running.name}: its settings stand in {running.config_file}",
            hint=f"write them there; `gapless reload {running.name}` reads the file again",
        )


def _described_anew(
    running: AppSpec,
    choice: Choice,
    changes: Mapping[str, Any],
    environment: Mapping[str, str] | None,
) -> AppSpec:
    """Return the configuration of an app that a command line described, and changes."""
    described = {**choice.overrides}
    like_pm2 = bool(described.pop(LIKE_PM2, False))
    if "script" not in described:
        raise MisuseError(
            f"{running.name}: it is not known how it was started",
            hint=f"`gapless delete {running.name}`, and start it with these options",
        )
    loaded = load_script(
        {"name": running.name, **described, **changes},
        choice.environment if environment is None else environment,
        like_pm2=like_pm2,
        started_in=running.started_in,
    )
    return next(iter(loaded.apps.values()))


def _has_profiles(file: str) -> bool:
    return bool(file) and is_configuration(file) and not file.endswith(TOML)


def relocated(
    running: AppSpec,
    *,
    environment: Mapping[str, str] | None = None,
    inside: LinkedRelease | None = None,
) -> AppSpec:
    """Return the present configuration of a running app, its links followed again.

    *environment* replaces the inherited variables.  Raises HandoffError.
    """
    directory = path_in_release(running.declared_directory or running.directory, inside)
    resolved = os.path.realpath(directory)
    if not os.path.isdir(resolved):
        raise HandoffError(
            f"{running.name}: the directory {directory} no longer exists"
        )

    def moved(path: str) -> str:
        below = path == running.directory or path.startswith(f"{running.directory}/")
        return resolved + path[len(running.directory) :] if below else path

    own = {name: running.environment[name] for name in running.configured}
    inherited = running.environment if environment is None else dict(environment)
    watch = tuple(moved(path) for path in running.renew.watch)
    return replace(
        running,
        command=tuple(moved(word) for word in running.command),
        directory=resolved,
        environment=inherited | own,
        renew=replace(running.renew, watch=watch),
        release=release_name(resolved),
    )


def declared_in(path: str, inside: LinkedRelease | None) -> DeclarationFile:
    """Return the file that declares an app; through a release's link that of the release.

    With `build_user` who uploads is not trusted with the rights of who runs gapless, and
    such a file says as which user an app runs, or is a program.  Raises MisuseError then.
    """
    if inside is not None and path_in_release(path, inside) != path:
        release_spec, release = inside
        if release_spec.build_user:
            raise MisuseError(
                f"{release_spec.app}: {path} is not read, since it is a part of "
                f"{release.name}: who uploads would say as which user the app runs, and "
                "build_user is set",
                hint="declare the app in a file outside of releases and start it from "
                "there, or remove build_user",
            )
    return declaration_file(path, lambda at: path_in_release(at, inside))


def path_in_release(path: str, inside: LinkedRelease | None) -> str:
    """Return a path with the release in the place of the link; *path* if without link."""
    if inside is None:
        return path
    release_spec, release = inside
    link = os.path.abspath(release_spec.link)
    pieces = os.path.abspath(path).strip("/").split("/")
    reached = "/"
    for number, piece in enumerate(pieces):
        reached = os.path.join(reached, piece)
        rest = "/".join(pieces[number + 1 :])
        if reached == link:
            return os.path.join(release.path, rest) if rest else release.path
        if os.path.islink(reached):
            target = os.path.join(os.path.dirname(reached), os.readlink(reached))
            return path_in_release(os.path.normpath(os.path.join(target, rest)), inside)
    return path
