"""An install that is not whole is named before anything is replaced."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from gapless.base.errors import UnavailableError
from gapless.supervisor.upgrade import installed


def install(directory: Path, version: str, files: dict[str, str]) -> Path:
    """Write files as pip does, and at last their list."""
    lines = []
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
        lines.append(f"{name},sha256={digest.decode().rstrip('=')},{len(text)}")
    listed = directory / f"gapless-{version}.dist-info"
    listed.mkdir()
    (listed / "RECORD").write_text("\n".join([*lines, "gapless/x.pyc,,"]) + "\n")
    return listed


FILES = {"gapless/__init__.py": "one", "gapless/base/clock.py": "two"}


def test_what_pip_has_written_is_whole(tmp_path: Path) -> None:
    """Its list has the hash of each file."""
    install(tmp_path, "1.0", FILES)
    installed.check(str(tmp_path), "1.0")


def test_a_copy_without_a_list_is_judged_otherwise(tmp_path: Path) -> None:
    """An editable install and a copy have none."""
    installed.check(str(tmp_path), "1.0")


def test_a_file_of_another_version_is_named(tmp_path: Path) -> None:
    """Pip was interrupted between two files."""
    install(tmp_path, "1.0", FILES)
    (tmp_path / "gapless/base/clock.py").write_text("three")
    with pytest.raises(
        UnavailableError, match=r"gapless/base/clock.py is not the file"
    ):
        installed.check(str(tmp_path), "1.0")


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    """Pip has removed the old files, and not written the new ones."""
    install(tmp_path, "1.0", FILES)
    (tmp_path / "gapless/base/clock.py").unlink()
    with pytest.raises(UnavailableError, match=r"clock.py: no such file"):
        installed.check(str(tmp_path), "1.0")


def test_two_lists_are_named(tmp_path: Path) -> None:
    """The old one is not removed yet."""
    install(tmp_path, "1.0", FILES)
    install(tmp_path, "1.1", FILES)
    with pytest.raises(
        UnavailableError, match=r"gapless-1.0.dist-info and gapless-1.1"
    ):
        installed.check(str(tmp_path), "1.0")


def test_a_list_of_another_version_is_named(tmp_path: Path) -> None:
    """The files say another version than their list."""
    install(tmp_path, "1.0", FILES)
    with pytest.raises(UnavailableError, match=r"the files are of 1.1"):
        installed.check(str(tmp_path), "1.1")


@pytest.mark.parametrize(
    "line", ["gapless/../../x.py,sha256=AAAA,1", "gapless/base/clock.py,sha256=!!!,1"]
)
def test_a_hostile_list_is_refused(tmp_path: Path, line: str) -> None:
    """It leads to no file outside, and what is no hash fits no file."""
    listed = install(tmp_path, "1.0", FILES)
    (listed / "RECORD").write_text(line + "\n")
    with pytest.raises(UnavailableError, match="is not whole"):
        installed.check(str(tmp_path), "1.0")


def test_the_fingerprint_changes_with_each_file(tmp_path: Path) -> None:
    """A file that came, went or was written again is seen."""
    install(tmp_path, "1.0", FILES)
    seen = {installed.fingerprint(str(tmp_path))}
    (tmp_path / "gapless/base/clock.py").write_text("three")
    seen.add(installed.fingerprint(str(tmp_path)))
    (tmp_path / "gapless/new.py").write_text("")
    seen.add(installed.fingerprint(str(tmp_path)))
    assert len(seen) == 3
