"""From a [release.NAME] table to a ReleaseSpec: how tarballs become releases."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gapless.base import paths
from gapless.base.errors import MisuseError
from gapless.config.toml.document import Document, decode
from gapless.config.toml.fleet_schema import Release
from gapless.releases.model import Hooks, Limits, ReleaseSpec

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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

    def words(key: str, command: str | list[str]) -> tuple[str, ...]:
        return tuple(document.words((*keys, *key.split(".")), command))

    return ReleaseSpec(
        app=name,
        base=os.path.normpath(base),
        push=_push(document, table.push),
        build=_commands(table.build, functools.partial(words, "build")),
        build_timeout_s=table.build_timeout_s,
        build_user=table.build_user,
        build_environment=_variables(document, keys, table.build_environment),
        build_scripts=table.build_scripts,
        signers=_beside(document, table.signers),
        signing_key=_beside(document, table.signing_key),
        shared=table.shared,
        keep=table.keep,
        hooks=Hooks(
            before_flip=words("hooks.before_flip", table.hooks.before_flip),
            after=words("hooks.after", table.hooks.after),
            failed=words("hooks.failed", table.hooks.failed),
            timeout_s=table.hooks.timeout_s,
        ),
        limits=Limits(
            max_unpacked_bytes=table.limits.max_unpacked_mb << 20,
            max_files=table.limits.max_files,
            max_upload_bytes=(
                table.limits.max_upload_mb or table.limits.max_unpacked_mb
            )
            << 20,
            max_depth=table.limits.max_depth,
            max_memory_bytes=table.limits.max_memory_mb << 20,
            timeout_s=table.limits.timeout_s,
        ),
        environment=dict(environment),
    )


def _variables(
    document: Document,
    keys: tuple[str, ...],
    wanted: tuple[str, ...] | dict[str, str | int | bool],
) -> dict[str, str | None]:
    """Return which variables commands get; None for the value that the publisher has."""
    found: dict[str, str | None] = {}
    if isinstance(wanted, dict):
        found |= {name: _text(value) for name, value in wanted.items()}
    else:
        for each in wanted:
            name, has_value, value = each.partition("=")
            found[name] = value if has_value else None
    for name, text in found.items():
        if not _NAME.fullmatch(name) or "\0" in (text or ""):
            raise MisuseError(
                document.message_for(
                    (*keys, "build_environment"), f"{name!r} is no name of a variable"
                )
            )
    return found


def _text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _push(document: Document, destination: str) -> str:
    """Return where uploads go: HOST:PATH for ssh, or a directory beside the file."""
    if not destination or ":" in destination.partition("/")[0]:
        return destination
    return _beside(document, destination)


def _beside(document: Document, path: str) -> str:
    """Return a path that the file names, absolute; empty if it names none."""
    folder = os.path.dirname(paths.absolute(str(document.path)))
    return os.path.normpath(os.path.join(folder, path)) if path else ""


def _commands(
    build: str | list[str | list[str]] | None,
    words_of: Callable[[str | list[str]], tuple[str, ...]],
) -> tuple[tuple[str, ...], ...] | None:
    """Return the commands of a build; None if the file does not set `build`.

    One command is a string or a list of words; a list with a list in it is several.
    """
    if build is None:
        return None
    if isinstance(build, str):
        return (words_of(build),) if build.strip() else ()
    words = tuple(word for word in build if isinstance(word, str))
    if len(words) == len(build):
        return (words,) if words else ()
    return tuple(words_of(command) for command in build)
