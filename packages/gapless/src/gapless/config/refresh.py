"""The configuration of an app that runs, as its file has it now or as it was."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from gapless.base.errors import HandoffError
from gapless.config import programs
from gapless.config.choice import choice_of, label_of
from gapless.config.declarations import DeclarationFile
from gapless.releases.model import Release, ReleaseSpec
from gapless.supervisor.memory.spec import AppSpec

Inside = tuple[ReleaseSpec, Release]
"""A release: what leads through the link of its app is to lead into it."""


def refreshed(
    running: AppSpec,
    *,
    environment: Mapping[str, str] | None = None,
    inside: Inside | None = None,
) -> AppSpec:
    """Return the configuration of a running app as its file has it now.

    The environment that the app was started in is kept, without what its configuration
    had set, unless *environment* replaces it.  With *inside*, paths that lead through the
    link of a release lead into that release.  Raises GaplessError.
    """
    if not running.config_file:
        return relocated(running, environment=environment, inside=inside)
    choice = choice_of(running)
    if environment is not None:
        choice = replace(choice, environment=environment)
    path = running.config_file
    declared = DeclarationFile(path, lambda at: through(at, inside))
    if label_of(running) not in declared.labels():
        raise HandoffError(
            f"{running.name}: {path} declares it no more",
            hint=f"`gapless delete {running.name}` ends it",
        )
    return next(iter(declared.load(choice).apps.values()))


def relocated(
    running: AppSpec,
    *,
    environment: Mapping[str, str] | None = None,
    inside: Inside | None = None,
) -> AppSpec:
    """Return the same configuration where its directory leads now.

    *environment* replaces what was inherited.  Raises HandoffError.
    """
    directory = through(running.declared_directory or running.directory, inside)
    resolved = os.path.realpath(directory)
    if not os.path.isdir(resolved):
        raise HandoffError(
            f"{running.name}: there is no directory {directory} any more"
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
        release=programs.release_of(resolved),
    )


def through(path: str, inside: Inside | None) -> str:
    """Return where a path leads once the link names the release."""
    if inside is None:
        return path
    releases, release = inside
    link = os.path.abspath(releases.link)
    pieces = os.path.abspath(path).strip("/").split("/")
    reached = "/"
    for number, piece in enumerate(pieces):
        reached = os.path.join(reached, piece)
        behind = "/".join(pieces[number + 1 :])
        if reached == link:
            return os.path.join(release.path, behind) if behind else release.path
        if os.path.islink(reached):
            target = os.path.join(os.path.dirname(reached), os.readlink(reached))
            return through(os.path.normpath(os.path.join(target, behind)), inside)
    return path
