"""What is packed, what is left out, and that the bytes are the same each time."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from gapless.base.errors import MisuseError
from gapless.push import packing


def packed(directory: Path, *, everything: bool = False) -> tuple[bytes, list[str]]:
    """Return the tarball of a directory, and what was left out."""
    target = io.BytesIO()
    rules = packing.ignore_rules_of(str(directory), everything=everything)
    found = packing.pack(str(directory), "shop", target, rules)
    return target.getvalue(), found.left_out


def members(content: bytes) -> dict[str, tarfile.TarInfo]:
    """Return the members of a tarball, by name."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: member for member in archive}


def test_a_directory_is_packed_below_one_folder_with_the_apps_name(
    tmp_path: Path,
) -> None:
    """Modes and links are kept, owners are not, what is left out is named."""
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
    """The order of names in the file system makes no difference."""
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
    """The release server would refuse it."""
    (tmp_path / "file").write_text("")
    (tmp_path / "leak").symlink_to(target)
    with pytest.raises(MisuseError, match="leak is a link out of the directory"):
        packed(tmp_path)
    (tmp_path / ".gaplessignore").write_text("leak\n")
    assert "leak" in packed(tmp_path)[1]


def test_nothing_to_push_is_said(tmp_path: Path) -> None:
    """The message names what was left out, which may be the reason."""
    (tmp_path / ".git").mkdir()
    with pytest.raises(MisuseError, match=r"nothing to push; left out: \.git/"):
        packed(tmp_path)
