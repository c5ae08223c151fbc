"""A tarball has its own directory: no link, mode, name or size of it leads out."""

from __future__ import annotations

import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.base.errors import ReleaseError
from gapless.releases import tarballs
from gapless.releases.model import Limits
from gapless.releases.steps.unpack import unpack
from gapless.releases.unpacking import filling, rules
from gapless.releases.unpacking.faults import BrokenError, RefusedError, shown
from gapless.releases.unpacking.tree import Tree
from rig.fixtures import archives
from rig.fixtures.archives import END, file, header, long_name, records

LIMITS = Limits(max_unpacked_bytes=1 << 20, max_files=50, max_depth=20)
DIRECTORY, LINK, HARD_LINK = b"5", b"2", b"1"


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """Make a tree in a directory beside which there is a secret."""
    (tmp_path / "secret").write_text("of another app")
    (tmp_path / "tree").mkdir()
    top = os.open(tmp_path / "tree", os.O_RDONLY)
    made = Tree(top, 0o022)
    yield made
    made.close()
    os.close(top)


def fill(tree: Tree, archive: bytes, limits: Limits = LIMITS) -> None:
    """Unpack in this process, as the child does."""
    filling.fill(tree, io.BytesIO(archive).read, limits)
    rules.check_links(tree.links)


ESCAPES = {
    "an absolute path": file(b"/tmp/evil"),
    "two dots": file(b"app/../../evil"),
    "two dots at the end": header(b"app/..", DIRECTORY),
    "two dots of a long name": long_name(b"../evil\0") + file(b"x"),
    "two dots of pax": records(path=b"app/../../evil") + file(b"x"),
    "a NUL in a name of pax": records(path=b"a\0/../../evil") + file(b"x"),
    "a link to an absolute path": header(b"a", LINK, target=b"/etc"),
    "a link up": header(b"app/a", LINK, target=b"../../secret"),
    "a link of pax up": records(linkpath=b"../secret")
    + header(b"a", LINK, target=b"b"),
    "a chain of links up": header(b"here", LINK, target=b".")
    + header(b"out", LINK, target=b"here/.."),
    "a chain through what is not there yet": header(b"d/up", LINK, target=b"..")
    + header(b"out", LINK, target=b"later/../d/up/.."),
    "a file below a link": header(b"d", LINK, target=b".") + file(b"d/a", b"x"),
    "a folder below a link": header(b"d", LINK, target=b".")
    + header(b"d/a", DIRECTORY),
    "a link, below which there is a link": header(b"d", LINK, target=b"e")
    + header(b"d/a", LINK, target=b"x"),
    "a hard link out": header(b"a", HARD_LINK, target=b"../secret"),
    "a hard link to an absolute path": header(b"a", HARD_LINK, target=b"/etc/passwd"),
    "a hard link through a link": header(b"d", LINK, target=b".")
    + file(b"b", b"x")
    + header(b"a", HARD_LINK, target=b"d/b"),
    "a hard link to a link": header(b"l", LINK, target=b"b")
    + header(b"a", HARD_LINK, target=b"l"),
    "a hard link to itself": header(b"a", HARD_LINK, target=b"a"),
    "a hard link to a folder": header(b"d", DIRECTORY)
    + header(b"a", HARD_LINK, target=b"d"),
    "a folder made a file": file(b"d/a") + file(b"d", b"x"),
    "a folder made a link": header(b"d", DIRECTORY) + header(b"d", LINK, target=b"a"),
    "a character device": header(b"a", b"3"),
    "a block device": header(b"a", b"4"),
    "a pipe": header(b"a", b"6"),
    "a kind that nobody knows": header(b"a", b"~"),
    "a volume": header(b"a", b"V"),
    "a set-user-id program": file(b"a", mode=0o4755),
    "a set-group-id program": file(b"a", mode=0o2755),
    "a sparse file": header(b"a", b"S"),
    "a sparse file of pax": records(**{"GNU.sparse.realsize": b"9"}) + file(b"a"),
    "no name": header(b""),
    "a name of dots": file(b"./."),
    "a link without a target": header(b"a", LINK),
    "one name for all": header(b"g", b"g", size=9) + archives.content(b"9 path=a\n"),
}


@pytest.mark.parametrize("what", ESCAPES)
def test_what_leads_out_of_the_tree_is_refused(
    tree: Tree, tmp_path: Path, what: str
) -> None:
    """Each is refused by its own member, and nothing beside the tree has changed."""
    with pytest.raises(RefusedError, match=r"its member|it has one name"):
        fill(tree, file(b"first") + ESCAPES[what] + END)
    assert sorted(os.listdir(tmp_path)) == ["secret", "tree"]
    assert (tmp_path / "secret").read_text() == "of another app"
    assert os.stat(tmp_path / "secret").st_nlink == 1


SIZES = {
    "a name of 256 bytes": long_name(b"a" * 256) + file(b"x"),
    "a path of 3,000 bytes": long_name(b"/".join([b"a" * 200] * 15)) + file(b"x"),
    "a link to 3,000 bytes": long_name(b"a/" * 1500, b"K") + header(b"x", LINK),
    "twenty-one folders": file(b"a/" * 21 + b"f"),
    "a size of 2^63 in pax": records(size=b"9223372036854775808") + header(b"x"),
    "a size of 2^80 in binary": header(b"x", size=b"\x80" + b"\xff" * 11),
    "a size of 8 GB": header(b"x", size=b"7" * 11),
    "a header of pax of 8 GB": header(b"x", b"x", size=b"7" * 11),
    "a header for all of 8 GB": header(b"x", b"g", size=b"7" * 11),
    "a long name of 8 GB": header(b"x", b"L", size=b"7" * 11),
    "a long target of 2^80": header(b"x", b"K", size=b"\x80" + b"\xff" * 11),
    "headers without end": records(comment=b"x") * 40 + file(b"x"),
    "long names without end": long_name(b"x") * 40 + file(b"x"),
    "headers that are too much together": (records(comment=bytes(60_000)) + file(b"x"))
    * 20,
    "too many files": b"".join(file(b"%d" % n) for n in range(51)),
    "too many folders that no member is for": file(b"/".join([b"a"] * 19))
    + file(b"/".join([b"b"] * 19))
    + file(b"/".join([b"c"] * 19)),
    "one folder again and again": header(b"d", DIRECTORY) * 60,
    "one file again and again": file(b"d") * 60,
    "one file that is replaced, and too large together": file(b"d", bytes(300_000)) * 4,
    "names that are too long together": b"".join(
        long_name(b"/".join([b"a" * 200] * 9 + [b"%d" % n])) + file(b"x")
        for n in range(30)
    ),
}


@pytest.mark.parametrize("what", SIZES)
def test_what_is_too_much_is_refused(tree: Tree, tmp_path: Path, what: str) -> None:
    """The limit is in the message; what was written until then is within it."""
    with pytest.raises(RefusedError, match=r"more than|too long|the most are"):
        fill(tree, SIZES[what] + END)
    found = list((tmp_path / "tree").rglob("*"))
    assert len(found) <= LIMITS.max_files
    assert sum(each.stat().st_size for each in found if each.is_file()) < 1 << 20


DAMAGED = {
    "a negative size": header(b"x", size=b"\xff" * 12),
    "a size of letters": header(b"x", size=b"0000000zzzz\0"),
    "a size of digits and a sign": header(b"x", size=b"-0000000001\0"),
    "a size in pax with a sign": records(size=b"-1") + header(b"x"),
    "a size in pax that is nan": records(size=b"nan") + header(b"x"),
    "a size in pax of 5,000 digits": records(size=b"9" * 5000) + header(b"x"),
    "a record without a length": header(b"x", b"x", size=5)
    + archives.content(b"x=y\n1"),
    "a record that is longer than its header": header(b"x", b"x", size=7)
    + archives.content(b"99 x=y\n"),
    "a record of length 0": header(b"x", b"x", size=6) + archives.content(b"0 x=y\n"),
    "a record without a length behind another": header(b"x", b"x", size=10)
    + archives.content(b"7 p=abc\n=\n"),
    "a checksum that is wrong": b"y" + header(b"x")[1:],
    "an end within a header": header(b"x")[:300],
    "an end within a file": header(b"x", size=5000) + bytes(512),
    "an end behind a long name": long_name(b"x"),
    "nothing": b"",
    "text": b"this is no tarball" * 100,
}


@pytest.mark.parametrize("what", DAMAGED)
def test_what_is_no_archive_is_broken(tree: Tree, what: str) -> None:
    """One error for all of it, whatever Python raised before."""
    with pytest.raises(BrokenError):
        fill(tree, DAMAGED[what])


@pytest.mark.parametrize("mtime", [b"inf", b"nan", b"-1e9", b"1e400", b"9" * 300, b""])
def test_a_time_that_is_none_is_not_kept(
    tree: Tree, tmp_path: Path, mtime: bytes
) -> None:
    """The file is: no release fails for a time."""
    fill(tree, records(mtime=mtime) + file(b"a", b"x", mtime=b"7" * 11) + END)
    assert (tmp_path / "tree" / "a").read_text() == "x"
    fill(tree, file(b"b", mtime=b"\xff" * 12) + file(b"c", mtime=b"junk") + END)
    assert (tmp_path / "tree" / "b").exists()


def test_rights_for_others_to_write_never_stay(tree: Tree, tmp_path: Path) -> None:
    """Nor set-id and sticky bits; a file that was private stays private."""
    before = os.umask(0)
    try:
        fill(
            tree,
            header(b"open", DIRECTORY, mode=0o7777)
            + header(b"none", DIRECTORY, mode=0)
            + file(b"below/run", mode=0o1777)
            + file(b"text", mode=0o666)
            + file(b"private", mode=0o600)
            + END,
        )
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(tmp_path / "tree")): stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "tree").rglob("*")
    }
    assert modes == {
        "open": 0o755,
        "none": 0o700,
        "below": 0o755,
        "below/run": 0o755,
        "text": 0o644,
        "private": 0o600,
    }


def test_a_file_takes_the_place_of_a_link_and_is_not_written_through_it(
    tree: Tree, tmp_path: Path
) -> None:
    """Nor through a hard link: what had the name before is removed first."""
    fill(
        tree,
        file(b"kept", b"kept")
        + header(b"a", LINK, target=b"kept")
        + file(b"a", b"new")
        + header(b"b", HARD_LINK, target=b"kept")
        + file(b"b", b"new")
        + header(b"c", LINK, target=b"kept")
        + header(b"c", DIRECTORY)
        + file(b"c/d", b"new")
        + END,
    )
    assert (tmp_path / "tree" / "kept").read_text() == "kept"
    assert (tmp_path / "tree" / "a").read_text() == "new"
    assert (tmp_path / "tree" / "c" / "d").read_text() == "new"


def test_names_of_any_bytes_are_kept_and_shown_printable(
    tree: Tree, tmp_path: Path
) -> None:
    """What is not UTF-8, control characters, and two names that differ in case."""
    names = (
        b"caf\xe9",
        b"\x1b]0;evil\x07",
        b"two\nlines",
        b"Readme",
        b"README",
        b"\xff",
    )
    fill(tree, b"".join(file(name) for name in names) + END)
    assert sorted(os.listdir(os.fsencode(tmp_path / "tree"))) == sorted(names)
    for name in names:
        assert shown(name).isprintable()
    assert len(shown(b"\x1b" * 4000)) < 1000


def test_links_in_circles_and_long_chains_end(tree: Tree) -> None:
    """Nobody can follow them, and no process comes to harm over them."""
    chain = {b"%d" % n: b"%d" % (n + 1) for n in range(1500)}
    rules.check_links(chain | {b"1500": b"1499"})
    rules.check_links({b"a": b"b/x", b"b": b"a/x"})
    doubled = {b"%d" % n: b"%d/%d" % (n + 1, n + 1) for n in range(60)}
    rules.check_links(doubled)
    with pytest.raises(RefusedError):
        rules.check_links(chain | {b"1500": b"../x"})
    assert tree.files == 0


# --- by way of the child --------------------------------------------------------------


def zeros(count: int) -> Iterator[bytes]:
    """Yield *count* MB of zeros, compressed as one gzip stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    yield packer.compress(header(b"x", b"x", size=count << 20))
    for _ in range(count):
        yield packer.compress(bytes(1 << 20))
    yield packer.flush()


def test_every_upload_that_ended_watch_is_refused_by_name(tmp_path: Path) -> None:
    """By way of the child: the message is one printable line that names the tarball."""
    deep = b"d/" * 1200
    uploads = {
        "deep.tar.gz": long_name(deep) + header(b"x", DIRECTORY) + END,
        "size.tar.gz": records(size=b"9223372036854775808") + header(b"x") + END,
        "esc.tar": file(b"/\x1b]0;evil\x07"),
        "cut.tar.gz": b"",
    }
    for name, archive in uploads.items():
        archives.write(tmp_path / name, archive)
    (tmp_path / "header.tar.gz").write_bytes(b"".join(zeros(16)))
    (tmp_path / "cut.tar.gz").write_bytes(archives.ordinary(0, "gz")[:-20])
    for name in (*uploads, "header.tar.gz"):
        with pytest.raises(
            ReleaseError, match=f"^{name} (was refused|is broken): "
        ) as at:
            unpack(str(tmp_path / name), str(tmp_path / "tree"), Limits())
        assert at.value.message.isprintable()
        assert not (tmp_path / "tree").exists()
    # It is whole, and so may be claimed and refused.
    tarballs.read_to_end(str(tmp_path / "size.tar.gz"))
    with pytest.raises(tarballs.BROKEN):
        tarballs.read_to_end(str(tmp_path / "cut.tar.gz"))
    archives.write(tmp_path / "inf.tar", records(mtime=b"inf") + file(b"app/a") + END)
    assert (
        unpack(str(tmp_path / "inf.tar"), str(tmp_path / "tree"), Limits()).files == 1
    )


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_an_ordinary_tarball_is_unpacked(tmp_path: Path, compression: str) -> None:
    """Its top is stripped; files, links and digests are what tar says."""
    (tmp_path / "app.tar").write_bytes(archives.ordinary(compression=compression))
    unpacked = unpack(str(tmp_path / "app.tar"), str(tmp_path / "tree"), Limits())
    tree = tmp_path / "tree"
    assert (unpacked.files, unpacked.folders, unpacked.size_bytes) == (4, 3, 1400)
    assert os.readlink(tree / "bin") == "lib"
    assert (tree / "same").samefile(tree / "index.js")
    assert (tree / "index.js").stat().st_mtime == 1_700_000_000
    assert unpacked.digests["index.js"] == unpacked.digests["same"]
    assert stat.S_IMODE((tree / "empty").stat().st_mode) == 0o755
    assert sorted(os.listdir(tmp_path)) == ["app.tar", "tree"]


def test_a_link_or_a_pipe_is_no_tarball(tmp_path: Path) -> None:
    """It is not opened, and nobody waits for a writer."""
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "link.tar").symlink_to(archives.write(tmp_path / "a.tar", file(b"a")))
    for name in ("pipe.tar", "link.tar"):
        with pytest.raises(OSError):  # noqa: PT011 - EINVAL and ELOOP
            unpack(str(tmp_path / name), str(tmp_path / "tree"), Limits())
        with pytest.raises(OSError):  # noqa: PT011 - the same
            tarballs.read_to_end(str(tmp_path / name))
