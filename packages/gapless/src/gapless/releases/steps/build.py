"""Build a release: the configured commands, or those that its files ask for."""

from __future__ import annotations

import os

from gapless.base.outside.text import counted
from gapless.releases.model import Progress, Release, ReleaseSpec
from gapless.releases.steps import commands


def build(spec: ReleaseSpec, release: Release, tree: str, progress: Progress) -> None:
    """Run the build commands in the tree of a release that is being made.

    Raises NotFoundError, ReleaseError.
    """
    chosen = commands_of(spec, tree)
    for command in chosen:
        progress("building", " ".join(command))
        commands.run(
            spec,
            command,
            tree,
            what="the build",
            timeout_s=spec.build_timeout_s,
            log=f"{spec.reports}/{release.name}/build.log",
            variables={"GAPLESS_APP": spec.app, "GAPLESS_RELEASE": release.name},
            goes_on=False,
            gains_no_rights=True,
        )
    progress("built", counted(len(chosen), "command"))


def commands_of(spec: ReleaseSpec, tree: str) -> tuple[tuple[str, ...], ...]:
    """Return the configured commands, or those that the files in a tree ask for."""
    if spec.build is not None:
        return spec.build
    return default_commands(tree, scripts=spec.build_scripts)


def default_commands(directory: str, *, scripts: bool) -> tuple[tuple[str, ...], ...]:
    """Return the build commands that the files in a directory ask for.

    Without *scripts* no code of a dependency runs: npm skips the scripts of packages, and
    uv builds none (what has no wheel is an error).
    """
    names = set(os.listdir(directory))
    chosen: list[tuple[str, ...]] = []
    of_npm, of_uv = ((), ()) if scripts else (("--ignore-scripts",), ("--no-build",))
    if names & {"package-lock.json", "npm-shrinkwrap.json"}:
        chosen.append(("npm", "ci", *of_npm))
    elif "package.json" in names:
        chosen.append(("npm", "install", *of_npm))
    if "uv.lock" in names:
        chosen.append(("uv", "sync", "--frozen", *of_uv))
    return tuple(chosen)
