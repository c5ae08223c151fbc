"""The link names a release, and the release says when it became current."""

from __future__ import annotations

from pathlib import Path

from gapless.releases import current
from gapless.releases.model import Release, ReleaseSpec

OLD, NEW = "20200101000000", "20200102000000"


def made(base: Path, stamp: str) -> Release:
    """Make a release as publishing leaves it."""
    path = base / "dist" / f"shop-{stamp}"
    path.mkdir(parents=True)
    (path / "RELEASE").write_text(f"{stamp}\n")
    return Release(app="shop", stamp=stamp, path=str(path))


def test_release_tells_when_it_became_current(tmp_path: Path) -> None:
    """A script that restarted later takes a release that became current after that."""
    spec = ReleaseSpec(app="shop", base=str(tmp_path))
    old, new = made(tmp_path, OLD), made(tmp_path, NEW)
    times = []
    for release in (old, new, new, old):
        current.flip(spec, release)
        times.append((tmp_path / "dist" / "shop" / "RELEASE").read_text())
        assert current.current_path(spec) == release.path
    assert times[0] > NEW
    assert times == sorted(times)
    assert [each.stamp for each in current.releases(spec)] == [OLD, NEW]
