"""What a publisher sets out to do is written down, and read with tolerance."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from pathlib import Path

import pytest

from gapless.base.errors import NotFoundError
from gapless.releases import current, publish, publisher_lock, reports
from gapless.releases.inbox import claims
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.publisher import journal
from gapless.releases.publisher.journal import Change
from rig.hosts.small_disk import SmallDisk


def _ignore(_step: str, _detail: str) -> None:
    """Report no step."""


def spec_in(base: Path) -> ReleaseSpec:
    """Return a spec without a build; its directories exist."""
    (base / "dist").mkdir(parents=True)
    (base / "src").mkdir()
    return ReleaseSpec(app="app", base=str(base), build=())


def packed(path: Path) -> str:
    """Write a tarball."""
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("index.js"), io.BytesIO())
    return str(path)


def made(spec: ReleaseSpec, tarball: str) -> Release:
    """Make a release, and leave it as its publisher does that dies then."""
    with publisher_lock.hold(spec, _ignore) as held:
        return publish.make_release(held, tarball, progress=_ignore)


CHANGE = Change(action=journal.ROLLBACK, release="app-20260101000001", token="x")
BROKEN = {
    "empty": b"",
    "cut off": b'{"action": "rollback", "rel',
    "zeros": bytes(4096),
    "a list": b"[]",
    "not UTF-8": b'{"action": "\xff"}',
    "deep": b"[" * 100_000,
    "of another action": b'{"action": "dance", "release": "r", "token": "t"}',
    "of wrong types": b'{"action": "rollback", "release": 1, "token": "t"}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_record_is_as_if_it_were_not_there(
    tmp_path: Path, content: bytes
) -> None:
    """The next publisher cleans up, and publishes."""
    spec = spec_in(tmp_path)
    journal.write(spec, CHANGE)
    assert journal.read(spec) == CHANGE
    Path(journal.path_of(spec)).write_bytes(content)
    assert journal.read(spec) is None
    assert journal.read_settled(spec) is None
    made(spec, packed(tmp_path / "src" / "app.tar"))


def test_an_empty_note_of_an_earlier_version_blocks_nobody(tmp_path: Path) -> None:
    """It was killed between the creation of its file and its first byte."""
    spec = spec_in(tmp_path)
    work = Path(spec.work)
    work.mkdir()
    (work / "claimed-app.tar").write_bytes(b"")
    (work / "placed-app.tar.4711.part").write_bytes(b"")
    (work / "placed-app.tar").write_bytes(b"")
    assert claims.recover(spec) is False
    assert sorted(os.listdir(spec.inbox)) == ["app.tar"]
    assert not list(work.glob("*placed*"))


def test_a_note_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    """It names the release in another file."""
    spec = spec_in(tmp_path)
    release = made(spec, packed(tmp_path / "src" / "app.tar"))
    journal.drop(spec)
    copy = Path(spec.work, claims.UPLOAD, "app.tar")
    copy.rename(Path(spec.work, "claimed-app.tar"))
    (Path(spec.work) / "placed-app.tar").write_text(f'"{release.name}"\n')
    assert claims.recover(spec) is True
    found = claims.unfinished_release(spec)
    assert found is not None
    assert found.name == release.name


def test_what_was_claimed_is_found_by_the_same_command(tmp_path: Path) -> None:
    """Its publisher died before it had made a release."""
    spec = spec_in(tmp_path)
    tarball = packed(tmp_path / "src" / "app.tar")
    with (
        publisher_lock.hold(spec, _ignore) as held,
        claims.open_source(held, tarball) as source,
    ):
        claims.claim(held, source)
    release = made(spec, tarball)
    assert [each.name for each in current.releases(spec)] == [release.name]


def test_a_tarball_that_is_gone_is_named_with_what_was_made_of_it(
    tmp_path: Path,
) -> None:
    """The command came once more after all was done."""
    spec = spec_in(tmp_path)
    tarball = packed(tmp_path / "src" / "app.tar")
    release = made(spec, tarball)
    current.flip(spec, release)
    claims.finish(spec)
    with pytest.raises(NotFoundError, match="no tarball") as caught:
        made(spec, tarball)
    assert release.name in caught.value.hint


def test_what_fails_after_the_placing_undoes_nothing(tmp_path: Path) -> None:
    """The release is in dist/: its upload must not be published a second time."""
    spec = spec_in(tmp_path)
    tarball = packed(tmp_path / "src" / "app.tar")

    def progress(step: str, _detail: str) -> None:
        if step == "placed":
            raise OSError(errno.EIO, "the terminal is gone")

    with (
        publisher_lock.hold(spec, _ignore) as held,
        pytest.raises(OSError, match="gone"),
    ):
        publish.make_release(held, tarball, progress=progress)
    assert os.listdir(spec.inbox) == []
    assert claims.recover(spec) is True
    assert claims.unfinished_release(spec) is not None


def test_a_release_that_never_served_is_not_good_to_go_back_to(tmp_path: Path) -> None:
    """Its publisher died between placing and proof; its flip makes it good."""
    spec = spec_in(tmp_path)
    releases = [made(spec, packed(tmp_path / "src" / "app.tar")) for _ in range(3)]
    claims.clean_up(spec)
    current.flip(spec, releases[0])
    current.flip(spec, releases[2])
    assert [each.is_proven for each in current.releases(spec)] == [True, False, True]
    assert current.previous(spec).name == releases[0].name
    assert current.previous(spec, releases[2].name).name == releases[0].name
    current.flip(spec, releases[1])
    assert current.previous(spec, releases[2].name).name == releases[1].name


def test_a_flip_that_was_prepared_needs_no_space(tmp_path: Path) -> None:
    """The reserve pays for the preparation, so that a rollback works on a full disk."""
    disk = SmallDisk(tmp_path / "disk", 4)
    try:
        spec = spec_in(disk.directory / "dfs")
        old, new = (made(spec, packed(tmp_path / "app.tar")) for _ in range(2))
        claims.clean_up(spec)
        current.flip(spec, new)
        journal.keep_reserve(spec)
        disk.fill()
        journal.write(spec, CHANGE)
        journal.with_reserve(spec, lambda: current.prepare(spec, old))
        disk.fill()
        current.flip(spec, old)
        assert current.current_path(spec) == old.path
        assert (Path(old.path) / "RELEASE").read_text() > f"{old.stamp}"
        assert reports.is_proven(spec, old.name)
    finally:
        disk.close()
