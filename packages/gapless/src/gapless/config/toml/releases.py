"""From a [release.NAME] table to a ReleaseSpec: how tarballs become releases."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from gapless.base import paths
from gapless.base.errors import MisuseError
from gapless.config.toml.document import Document, decode
from gapless.config.toml.fleet_schema import Release
from gapless.releases.model import Hooks, Limits, ReleaseSpec


def build(document: Document, name: str, environment: Mapping[str, str]) -> ReleaseSpec:
    """Return the spec that a table describes.  Raises MisuseError."""
    keys = ("release", name)
    table: Release = decode(document, keys, Release)
    base = os.path.join(os.path.dirname(paths.absolute(str(document.path))), table.base)
    outside = [p for p in table.shared if os.path.isabs(p) or ".." in Path(p).parts]
    if outside:
        raise MisuseError(
            document.message_for(
                (*keys, "shared"), f"{outside[0]!r} is not a path inside the release"
            )
        )
    return ReleaseSpec(
        app=name,
        base=os.path.normpath(base),
        push=_push(document, table.push),
        build=_commands(table.build),
        build_timeout_s=table.build_timeout_s,
        shared=table.shared,
        keep=table.keep,
        hooks=Hooks(
            before_flip=_command(table.hooks.before_flip),
            after=_command(table.hooks.after),
            failed=_command(table.hooks.failed),
            timeout_s=table.hooks.timeout_s,
        ),
        limits=Limits(
            max_unpacked_bytes=table.limits.max_unpacked_mb << 20,
            max_files=table.limits.max_files,
        ),
        environment=dict(environment),
    )


def _push(document: Document, destination: str) -> str:
    """Return where uploads go: HOST:PATH for ssh, or a directory beside the file."""
    if not destination or ":" in destination.partition("/")[0]:
        return destination
    folder = os.path.dirname(paths.absolute(str(document.path)))
    return os.path.normpath(os.path.join(folder, destination))


def _commands(
    build: str | list[str | list[str]] | None,
) -> tuple[tuple[str, ...], ...] | None:
    """Return the commands of a build; None if the file does not set `build`.

    One command is a string or a list of words; a list with a list in it is several.
    """
    if build is None:
        return None
    if isinstance(build, str):
        return (_command(build),) if build.strip() else ()
    words = tuple(word for word in build if isinstance(word, str))
    if len(words) == len(build):
        return (words,) if words else ()
    return tuple(_command(command) for command in build)


def _command(command: str | list[str]) -> tuple[str, ...]:
    return tuple(shlex.split(command) if isinstance(command, str) else command)
