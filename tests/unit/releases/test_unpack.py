"""What a tarball must not do, by whatever detour."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from gapless.base.errors import ReleaseError
from gapless.releases.model import Limits
from gapless.releases.unpack import unpack


def _packed(path: Path, *members: tuple[str, bytes, str]) -> str:
    """Write a tarball of members: name, type, and where a link leads or what is in it."""
    with tarfile.open(path, "w") as archive:
        for name, kind, more in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o755
            content = b""
            if kind == tarfile.REGTYPE:
                content = more.encode()
                member.size = len(content)
            else:
                member.linkname = more
            archive.addfile(member, io.BytesIO(content))
    return str(path)


def test_a_hard_link_by_way_of_a_link_that_goes_again_stays_inside(
    tmp_path: Path,
) -> None:
    """`out` seems to lead to the top, and is a file in the end; what it let in stays."""
    (tmp_path / "secret").write_text("of another app")
    tarball = _packed(
        tmp_path / "app.tar",
        ("here", tarfile.SYMTYPE, "."),
        ("out", tarfile.SYMTYPE, "here/.."),
        ("index.js", tarfile.LNKTYPE, "out/secret"),
        ("out", tarfile.REGTYPE, "innocent"),
    )
    with pytest.raises(ReleaseError, match=r"index.js.*hard link"):
        unpack(tarball, str(tmp_path / "tree"), Limits())


def test_a_hard_link_to_a_file_of_its_own_is_kept(tmp_path: Path) -> None:
    """A hard link to a file of its own is kept."""
    tarball = _packed(
        tmp_path / "app.tar",
        ("app/lib/a", tarfile.REGTYPE, "one"),
        ("app/b", tarfile.LNKTYPE, "app/lib/a"),
    )
    unpack(tarball, str(tmp_path / "tree"), Limits())
    assert (tmp_path / "tree" / "b").read_text() == "one"


def test_folders_count_like_files(tmp_path: Path) -> None:
    """Each takes an inode, on a disk that others use as well."""
    folders = [(f"app/{number}", tarfile.DIRTYPE, "") for number in range(20)]
    tarball = _packed(
        tmp_path / "app.tar", ("app/index.js", tarfile.REGTYPE, ""), *folders
    )
    with pytest.raises(ReleaseError, match="more than the 10 files and folders"):
        unpack(tarball, str(tmp_path / "tree"), Limits(max_files=10))
