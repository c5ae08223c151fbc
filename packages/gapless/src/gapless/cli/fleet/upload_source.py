"""What `gapless push` uploads: the app, its tarball, and the release server."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from gapless.base.errors import MisuseError, ReleaseError
from gapless.base.names import is_app_name
from gapless.cli import configuration, output
from gapless.config.choice import inherited
from gapless.config.toml import tables
from gapless.push import packing, secrets
from gapless.releases import tarballs
from gapless.releases.model import ReleaseSpec

MOST_NAMES = 20
"""Of the files that are left out so many are printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tarball:
    """An open tarball."""

    file: IO[bytes]
    ending: str
    """The ending of its name, such as .tar.gz."""
    left_out: list[str]
    """The files of the directory that were not packed."""


def releases(config: str, target: str) -> dict[str, ReleaseSpec]:
    """Return the releases of the first configuration there is; none is needed."""
    own = os.path.join(target, "gapless.toml")
    for path in (config, "gapless.toml", own):
        if path and (path == config or os.path.isfile(path)):
            return tables.load_releases(path, inherited(os.environ))
    return {}


def app_name(given: str, target: str, known: dict[str, ReleaseSpec]) -> str:
    """Return the app of a release: *given*, by its name, or the only one there is.

    Without a configuration it is the name of the target.  Raises MisuseError.
    """
    name = os.path.basename(os.path.abspath(target))
    if not os.path.isdir(target):
        name = name.removesuffix(tarballs.ending_of(name))
    app = given or configuration.app_of(known, f"{name}.tar", shown=target) or name
    if not is_app_name(app):
        raise MisuseError(f"{app!r} cannot name an app", hint="name the app with --app")
    return app


def release_server(given: str, release: ReleaseSpec | None) -> str:
    """Return the release server: *given*, of the environment, or of a configuration.

    Raises MisuseError.
    """
    to = given or os.environ.get("GAPLESS_PUSH_TO", "")
    to = to or (release.push if release else "")
    if not to:
        raise MisuseError(
            "push to which release server?",
            hint="--to user@host:/mnt/dfs, GAPLESS_PUSH_TO, or push = ... in "
            "[release.NAME]",
        )
    return to


def open_tarball(
    target: str,
    app: str,
    packed: IO[bytes],
    print_line: Callable[[str], None],
    *,
    everything: bool,
    with_secrets: bool,
) -> Tarball:
    """Open a tarball, or pack a directory into *packed*.

    With *everything* the rules that leave files out are ignored; *with_secrets* packs also
    what looks like a secret.  Raises MisuseError, ReleaseError, OSError.
    """
    if os.path.isdir(target):
        rules = packing.ignore_rules_of(target, everything=everything)
        found = packing.pack(target, app, packed, rules, with_secrets=with_secrets)
        size = output.size(found.size_bytes)
        print_line(f"{app}: packed {output.count(found.files, 'file')}, {size}")
        if found.left_out:
            names = found.left_out[:MOST_NAMES]
            more = len(found.left_out) - len(names)
            print_line(
                f"  left out: {', '.join(names)}" + (f" and {more} more" * bool(more))
            )
        return Tarball(file=packed, ending=".tar.gz", left_out=found.left_out)
    ending = tarballs.ending_of(target)
    if not ending:
        raise MisuseError(
            f"{target} is no tarball by its name",
            hint=f"it ends in one of {', '.join(tarballs.ENDINGS)}",
        )
    try:
        with open(target, "rb") as file:
            tarballs.read_to_end(file.fileno())
        names = tarballs.names_of(target)
    except ReleaseError as error:
        raise ReleaseError(
            f"{target} cannot be read to its end: {error}", hint="nothing was sent"
        ) from error
    suspects = [name for name in names if secrets.reason_by_name(name)]
    if suspects and not with_secrets:
        # Whoever made the tarball may have meant it; nothing of it is left out here.
        more = len(suspects) - MOST_NAMES
        output.print_error(
            f"{target} holds what looks like secrets: {', '.join(suspects[:MOST_NAMES])}"
            + f" and {more} more" * (more > 0)
        )
    return Tarball(file=open(target, "rb"), ending=ending, left_out=[])
