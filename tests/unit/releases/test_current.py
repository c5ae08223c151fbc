"""The link names a release, and the release says when it became current."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gapless.base.errors import TimedOutError
from gapless.releases import copies, current
from gapless.releases.model import Release, ReleaseSpec

OLD, NEW = "20200101000000", "20200102000000"


def made(base: Path, stamp: str) -> Release:
    """Make a release as publishing leaves it."""
    path = base / "dist" / f"shop-{stamp}"
    path.mkdir(parents=True)
    (path / "RELEASE").write_text(f"{stamp}\n")
    (path / "index.js").write_text(f"// {stamp}\n")
    return Release(app="shop", stamp=stamp, path=str(path))


def sealed(directory: Path) -> tuple[ReleaseSpec, ReleaseSpec, Release, str]:
    """Make a release that can be copied; return where from, where to, and its digest."""
    shared = ReleaseSpec(app="shop", base=str(directory / "shared"))
    own = ReleaseSpec(app="shop", base=str(directory / "own"))
    release = made(directory / "shared", NEW)
    Path(own.dist).mkdir(parents=True)
    return shared, own, release, copies.seal(shared, release)


def test_release_tells_when_it_became_current(tmp_path: Path) -> None:
    """A script that restarted meanwhile must take it; one turned back to as well."""
    spec = ReleaseSpec(app="shop", base=str(tmp_path))
    old, new = made(tmp_path, OLD), made(tmp_path, NEW)
    told = []
    for release in (old, new, new, old):
        current.flip(spec, release)
        told.append((tmp_path / "dist" / "shop" / "RELEASE").read_text())
        assert current.current_path(spec) == release.path
    assert told[0] > NEW
    assert told == sorted(told)
    assert [each.stamp for each in current.releases(spec)] == [OLD, NEW]


def test_a_copy_is_verified_whatever_release_says_by_now(tmp_path: Path) -> None:
    """RELEASE is written anew when a release becomes current; all else is as published."""
    shared, own, release, digest = sealed(tmp_path)
    current.flip(shared, release)
    assert not copies.is_seen(own, release.name)
    left = Path(own.work, "copy-shop-20191231000000")  # by an agent that was killed
    left.mkdir(parents=True)
    copied = copies.copy(shared, own, release.name, digest, float("inf"))
    assert Path(copied.path, "index.js").read_text() == f"// {NEW}\n"
    assert copies.is_seen(own, release.name)
    assert not left.exists()


def test_a_copy_waits_for_a_mount_that_is_away(tmp_path: Path) -> None:
    """That is no fault of the release; what stays away for too long is named."""
    shared, own, release, digest = sealed(tmp_path)
    (tmp_path / "shared").rename(tmp_path / "away")
    with pytest.raises(TimedOutError, match=f"{release.name} was not copied.*no such"):
        copies.copy(shared, own, release.name, digest, 0.0)
    copied: list[Release] = []

    def copy() -> None:
        copied.append(copies.copy(shared, own, release.name, digest, float("inf")))

    thread = threading.Thread(target=copy)
    thread.start()
    (tmp_path / "away").rename(tmp_path / "shared")
    thread.join()
    assert copies.is_seen(own, copied[0].name)
