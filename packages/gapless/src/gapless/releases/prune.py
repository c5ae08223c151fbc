"""Which releases may go."""

from __future__ import annotations

from gapless.releases.model import Release


def superfluous(
    releases: tuple[Release, ...], *, keep: int, running: frozenset[str]
) -> tuple[Release, ...]:
    """Return the releases to remove, oldest first; *releases* are oldest first.

    Kept are the newest *keep*, the current one, the one before it (to go back to), and
    every one from which a process still runs: *running* holds directories.
    """
    good = [r for r in releases if not r.failure]
    current = next((i for i, r in enumerate(good) if r.is_current), None)
    spared = {r.stamp for r in good[-keep:]}
    if current is not None:
        spared |= {r.stamp for r in good[max(0, current - 1) : current + 1]}
    return tuple(
        release
        for release in releases
        if release.stamp not in spared and not _runs(release, running)
    )


def _runs(release: Release, running: frozenset[str]) -> bool:
    inside = f"{release.path}/"
    return any(path == release.path or path.startswith(inside) for path in running)
