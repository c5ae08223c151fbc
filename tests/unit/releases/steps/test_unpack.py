"""What a tarball must not do, even by way of several members."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from gapless.base.errors import ReleaseError
from gapless.releases.model import Limits
from gapless.releases.steps.unpack import unpack


def _packed(path: Path, *members: tuple[str, bytes, str]) -> str:
    """Write a tarball of members: name, type, and the target of a link or the content."""
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
    """`out` leads out first, and a later member replaces it; the hard link would stay."""
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
    """The target is a file of the same tarball."""
    tarball = _packed(
        tmp_path / "app.tar",
        ("app/lib/a", tarfile.REGTYPE, "one"),
        ("app/b", tarfile.LNKTYPE, "app/lib/a"),
    )
    unpack(tarball, str(tmp_path / "tree"), Limits())
    assert (tmp_path / "tree" / "b").read_text() == "one"


def test_folders_count_like_files(tmp_path: Path) -> None:
    """Each takes an inode of a disk that other apps use as well."""
    folders = [(f"app/{number}", tarfile.DIRTYPE, "") for number in range(20)]
    tarball = _packed(
        tmp_path / "app.tar", ("app/index.js", tarfile.REGTYPE, ""), *folders
    )
    with pytest.raises(ReleaseError, match="more than the 10 files and folders"):
        unpack(tarball, str(tmp_path / "tree"), Limits(max_files=10))


REFUSED = {
    "a hard link to nothing": (("a", tarfile.LNKTYPE, "nothing"),),
    "a file below a file": (("a", tarfile.REGTYPE, ""), ("a/b", tarfile.REGTYPE, "")),
    "a file in the place of a folder": (
        ("a/b", tarfile.REGTYPE, ""),
        ("a", tarfile.REGTYPE, ""),
    ),
    "a device": (("a", tarfile.CHRTYPE, ""),),
    "a link out": (("a", tarfile.SYMTYPE, "/etc"),),
}


@pytest.mark.parametrize("members", REFUSED.values(), ids=REFUSED)
def test_every_refusal_names_the_tarball(
    tmp_path: Path, members: tuple[tuple[str, bytes, str], ...]
) -> None:
    """The reason is read later, beside other refused uploads."""
    tarball = _packed(tmp_path / "app.tar", *members)
    with pytest.raises(ReleaseError, match=r"^app\.tar was refused: its member 'a"):
        unpack(tarball, str(tmp_path / "tree"), Limits())


def test_a_small_text_is_no_tarball(tmp_path: Path) -> None:
    """Not one that ends too early, as the rest of it would not help."""
    path = tmp_path / "shop.tar.gz"
    path.write_text("hello\n")
    with pytest.raises(
        ReleaseError, match="it is no tarball: it has 6 bytes, less than"
    ):
        unpack(str(path), str(tmp_path / "new"), Limits())
