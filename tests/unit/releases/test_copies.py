"""A host's own copy of a release is verified, and waits for the shared directory."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gapless.base.errors import TimedOutError
from gapless.releases import copies, current, file_list
from gapless.releases.model import Release, ReleaseSpec

STAMP = "20200102000000"


def listed(directory: Path) -> tuple[ReleaseSpec, ReleaseSpec, Release, str]:
    """Make a release that can be copied; return both specs, it, and its list's digest."""
    shared = ReleaseSpec(app="shop", base=str(directory / "shared"))
    own = ReleaseSpec(app="shop", base=str(directory / "own"))
    path = Path(shared.directory(STAMP))
    path.mkdir(parents=True)
    (path / "RELEASE").write_text(f"{STAMP}\n")
    (path / "index.js").write_text(f"// {STAMP}\n")
    release = Release(app="shop", stamp=STAMP, path=str(path))
    Path(own.dist).mkdir(parents=True)
    return shared, own, release, file_list.write(shared, release)


def test_a_copy_is_verified_whatever_release_says_by_now(tmp_path: Path) -> None:
    """RELEASE is written anew when a release becomes current; all else is as published."""
    shared, own, release, digest = listed(tmp_path)
    current.flip(shared, release)
    assert not current.is_visible(own, release.name)
    unfinished = Path(own.work, "copy-shop-20191231000000")  # of a killed agent
    unfinished.mkdir(parents=True)
    copied = copies.copy(shared, own, release.name, digest, float("inf"))
    assert Path(copied.path, "index.js").read_text() == f"// {STAMP}\n"
    assert current.is_visible(own, release.name)
    assert not unfinished.exists()


def test_a_copy_waits_for_a_mount_that_is_away(tmp_path: Path) -> None:
    """The release has no fault; a mount that stays away too long is named."""
    shared, own, release, digest = listed(tmp_path)
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
    assert current.is_visible(own, copied[0].name)


def test_a_copy_has_the_modes_of_the_folders(tmp_path: Path) -> None:
    """A list of an earlier version names none."""
    shared, own, release, _ = listed(tmp_path)
    private = Path(release.path, "private")
    (private / "deep").mkdir(parents=True)
    private.chmod(0o750)
    (private / "deep").chmod(0o700)
    copied = copies.copy(
        shared, own, release.name, file_list.write(shared, release), float("inf")
    )
    modes = [
        Path(copied.path, each).stat().st_mode & 0o777
        for each in ("private", "private/deep")
    ]
    assert modes == [0o750, 0o700]
