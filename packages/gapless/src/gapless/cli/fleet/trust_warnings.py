"""What keeps signatures from being made or verified on this machine, said beforehand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gapless.config.choice import inherited
from gapless.releases.model import ReleaseSpec
from gapless.releases.signing import requirements

if TYPE_CHECKING:
    from gapless.config.toml.fleets import Fleet


def of_publisher(spec: ReleaseSpec) -> str:
    """Return why nothing of an app can be published here, or nothing."""
    return requirements.trouble(lambda: requirements.check_publisher(spec))


def of_host(fleet: Fleet) -> list[str]:
    """Return what a host of a fleet with `publishers` should know."""
    found = []
    app, publishers = fleet.release.app, fleet.publishers
    if why := requirements.trouble(lambda: requirements.check_host(app, publishers)):
        found.append(f"{why} (no release can be verified here)")
    if publishers and not fleet.copy:
        found.append(
            f"{app}: publishers without copy = true: the files are verified once, when "
            "this host changes, and who may write the shared directory can change them "
            "afterwards"
        )
    return found


def of_file(path: str, releases: Mapping[str, ReleaseSpec]) -> tuple[str, ...]:
    """Return the warnings about the apps of a file."""
    found = [why for spec in releases.values() if (why := of_publisher(spec))]
    if releases:
        from gapless.config.toml import fleets  # noqa: PLC0415 - for few files

        for app, fleet in fleets.load(path, inherited(os.environ)).items():
            found += of_host(fleet)
            if fleet.publishers and not fleet.release.signing_key:
                found.append(
                    f"{app}: publishers without signing_key: this file's publisher "
                    "signs nothing, so hosts would take none of its releases"
                )
    return tuple(found)
