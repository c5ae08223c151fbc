"""The build of a tarball, on the stage: what it may write is there, and in its caches.

A cache has copies of what can be fetched again.  Without one, a build may need hours.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable

from gapless.rehearsal.stage import confinement
from gapless.rehearsal.stage.confinement import Missing
from gapless.rehearsal.stage.stage import Stage
from gapless.releases import publish
from gapless.releases.model import Progress, Release, ReleaseSpec

_CACHES = {"npm_config_cache": ".npm", "XDG_CACHE_HOME": ".cache"}
"""Variables that say where a cache is, and where it is without them, below HOME."""


def make(
    stage: Stage,
    releases: ReleaseSpec,
    tarball: str,
    *,
    writable: Iterable[str],
    progress: Progress,
) -> tuple[Release, Missing]:
    """Make a release of a tarball; return it, and what could not be confined.

    Raises what `publish.make_release` does.
    """
    made: list[Release] = []

    def act() -> None:
        made.append(publish.make_release(releases, tarball, progress=progress))

    caches = [each for each in _caches(releases.build_user).values() if each]
    missing = confinement.run_confined(
        act, writable=[stage.directory, *caches, *writable], ports=None
    )
    return made[0], missing


def variables(stage: Stage, releases: ReleaseSpec) -> dict[str, str | None]:
    """Return the variables of a build of the stage; the caches that there are stay."""
    own = {
        name: stage.place("tmp", f"cache{_CACHES[name]}")
        for name, path in _caches(releases.build_user).items()
        if not path
    }
    return {**own, **releases.build_environment, **stage.environment_of_builds()}


def _caches(user: str) -> dict[str, str]:
    """Return the caches of who builds by their variables; empty where there is none."""
    home = os.path.expanduser("~")
    if user:
        try:
            entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        except KeyError:
            return {}  # the build names it
        home = entry.pw_dir
    paths = {name: os.path.join(home, below) for name, below in _CACHES.items()}
    return {name: path if os.path.isdir(path) else "" for name, path in paths.items()}
