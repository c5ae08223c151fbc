"""Run the hooks of a release: commands of its team, each at its moment."""

from __future__ import annotations

from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.steps import commands


def run(
    spec: ReleaseSpec,
    release: Release,
    name: str,
    command: tuple[str, ...],
    *,
    directory: str,
    variables: dict[str, str],
) -> None:
    """Run a hook of a release in a directory.

    *variables* are added to its environment, besides GAPLESS_APP and GAPLESS_RELEASE.
    Raises NotFoundError, ReleaseError.
    """
    commands.run(
        spec,
        command,
        directory,
        what=f"the hook {name}",
        timeout_s=spec.hooks.timeout_s,
        log=f"{spec.reports}/{release.name}/{name}.log",
        variables={
            "GAPLESS_APP": spec.app,
            "GAPLESS_RELEASE": release.name,
            **variables,
        },
    )
