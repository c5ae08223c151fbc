"""What is packed, what is left out, and that the same directory packs to the same bytes."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from gapless.base.errors import MisuseError
from gapless.push import packing
from gapless.push.ignore_rules import DEFAULT, Ignoring


@pytest.mark.parametrize(
    ("line", "path", "is_folder", "left_out"),
    [
        ("*.log", "a.log", False, True),
        ("*.log", "deep/er/a.log", False, True),
        ("*.log", "a.log.txt", False, False),
        ("/a.log", "deep/a.log", False, False),
        ("/a.log", "a.log", False, True),
        ("docs/*.md", "docs/a.md", False, True),
        ("docs/*.md", "docs/deep/a.md", False, False),
        ("docs/**/*.md", "docs/deep/er/a.md", False, True),
        ("docs/**/*.md", "docs/a.md", False, True),
        ("**/tmp", "a/b/tmp", True, True),
        ("tmp/**", "tmp/a/b", False, True),
        ("tmp/", "tmp", True, True),
        ("tmp/", "tmp", False, False),
        ("a?c", "abc", False, True),
        ("a?c", "a/c", False, False),
        ("[ab].txt", "b.txt", False, True),
        ("[!ab].txt", "b.txt", False, False),
        ("\\#a", "#a", False, True),
        ("# a remark", "# a remark", False, False),
        ("  ", "  ", False, False),
        ("a.b", "axb", False, False),
    ],
)
def test_a_line_means_what_it_means_in_a_gitignore(
    line: str, path: str, *, is_folder: bool, left_out: bool
) -> None:
    """One row, one rule."""
    assert Ignoring([line]).leaves_out(path, is_folder=is_folder) is left_out


def test_the_last_line_that_fits_counts() -> None:
    """So `!` takes back, from the usual too."""
    ignored = Ignoring([*DEFAULT, "*.log", "!keep.log", "!node_modules"])
    assert ignored.leaves_out("a.log", is_folder=False)
    assert not ignored.leaves_out("keep.log", is_folder=False)
    assert not ignored.leaves_out("node_modules", is_folder=True)
    assert ignored.leaves_out("lib/.git", is_folder=True)


def packed(directory: Path, *, everything: bool = False) -> tuple[bytes, list[str]]:
    """Return what a directory packs to, and what was left out."""
    target = io.BytesIO()
    ignored = packing.ignoring(str(directory), everything=everything)
    found = packing.pack(str(directory), "shop", target, ignored)
    return target.getvalue(), found.left_out


def members(content: bytes) -> dict[str, tarfile.TarInfo]:
    """Return what is in a tarball."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: member for member in archive}


def test_a_directory_is_packed_below_one_folder_with_the_apps_name(
    tmp_path: Path,
) -> None:
    """Modes and links are kept, owners are nobody's, what is left out is named."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "run").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "run").chmod(0o4755)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("bin/run")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "x").write_text("x")
    (tmp_path / ".gaplessignore").write_text("*.log\n")
    (tmp_path / "a.log").write_text("")
    os.mkfifo(tmp_path / "pipe")
    content, left_out = packed(tmp_path)
    found = members(content)
    assert list(found) == ["shop/bin", "shop/bin/run", "shop/empty", "shop/link"]
    assert found["shop/bin/run"].mode == 0o755
    assert found["shop/link"].linkname == "bin/run"
    assert {(m.uid, m.gid, m.uname) for m in found.values()} == {(0, 0, "")}
    expected = [".gaplessignore", "a.log", "node_modules/", "pipe (a pipe)"]
    assert left_out == expected
    everything = members(packed(tmp_path, everything=True)[0])
    assert {"shop/a.log", "shop/node_modules/x"} <= set(everything)


def test_the_same_directory_packs_to_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the order in which the file system has its names."""
    for name in ("b", "a", "c"):
        (tmp_path / name).write_text(name)
    before = packed(tmp_path)[0]
    content = (tmp_path / "a").read_text()
    changed = (tmp_path / "a").stat().st_mtime_ns
    (tmp_path / "a").unlink()
    (tmp_path / "a").write_text(content)
    os.utime(tmp_path / "a", ns=(changed, changed))
    assert packed(tmp_path)[0] == before


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside"])
def test_a_link_out_of_the_directory_is_refused_before_anything_is_sent(
    tmp_path: Path, target: str
) -> None:
    """The release server would refuse it later."""
    (tmp_path / "file").write_text("")
    (tmp_path / "leak").symlink_to(target)
    with pytest.raises(MisuseError, match="leak is a link out of the directory"):
        packed(tmp_path)
    (tmp_path / ".gaplessignore").write_text("leak\n")
    assert "leak" in packed(tmp_path)[1]


def test_nothing_to_push_is_said(tmp_path: Path) -> None:
    """With what was left out, since that may be why."""
    (tmp_path / ".git").mkdir()
    with pytest.raises(MisuseError, match=r"nothing to push; left out: \.git/"):
        packed(tmp_path)
