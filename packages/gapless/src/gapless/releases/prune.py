"""Which releases are superfluous.  Pure."""

from __future__ import annotations

from gapless.releases.model import Release


def superfluous(
    releases: tuple[Release, ...], *, keep: int, in_use: frozenset[str]
) -> tuple[Release, ...]:
    """Return the releases to remove, oldest first; *releases* are oldest first.

    The newest *keep* good ones, the current one, the one before it (to go back to), and
    every one from which a process runs are kept, and so is one that is newer than the
    current one and may be about to serve.  *in_use* holds the directories of processes.
    """
    good = [r for r in releases if r.is_good or r.is_current]
    current = next((i for i, r in enumerate(good) if r.is_current), None)
    kept = {r.stamp for r in good[-keep:]}
    if current is not None:
        kept |= {r.stamp for r in good[max(0, current - 1) : current + 1]}
    return tuple(
        release
        for release in releases
        if release.stamp not in kept
        and not _is_used(release, in_use)
        and not _is_to_come(release, releases)
    )


def _is_to_come(release: Release, releases: tuple[Release, ...]) -> bool:
    """Return whether a release may be about to serve: its publisher is at work."""
    after_current = all(r.stamp < release.stamp for r in releases if r.is_current)
    return not release.is_proven and not release.failure and after_current


def _is_used(release: Release, in_use: frozenset[str]) -> bool:
    inside = f"{release.path}/"
    return any(path == release.path or path.startswith(inside) for path in in_use)
