"""Build a release: the configured commands, or those that its files ask for."""

from __future__ import annotations

import os

from gapless.releases.model import Progress, Release, ReleaseSpec
from gapless.releases.steps import commands


def build(spec: ReleaseSpec, release: Release, tree: str, progress: Progress) -> None:
    """Run the build commands in the tree of a release that is being made.

    Raises NotFoundError, ReleaseError.
    """
    chosen = default_commands(tree) if spec.build is None else spec.build
    for command in chosen:
        progress("building", " ".join(command))
        commands.run(
            spec,
            command,
            tree,
            what="the build",
            timeout_s=spec.build_timeout_s,
            log=f"{spec.reports}/{release.name}/build.log",
        )
    progress("built", f"{len(chosen)} commands")


def default_commands(directory: str) -> tuple[tuple[str, ...], ...]:
    """Return the build commands that the files in a directory ask for."""
    names = set(os.listdir(directory))
    chosen: list[tuple[str, ...]] = []
    if names & {"package-lock.json", "npm-shrinkwrap.json"}:
        chosen.append(("npm", "ci"))
    elif "package.json" in names:
        chosen.append(("npm", "install"))
    if "uv.lock" in names:
        chosen.append(("uv", "sync", "--frozen"))
    return tuple(chosen)
