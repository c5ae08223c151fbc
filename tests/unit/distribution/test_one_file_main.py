"""The beginning of the one file: where it unpacks, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from distribution import one_file
from distribution.archives import File

COMMAND = b"""
import os
def main():
    print(os.path.dirname(os.path.dirname(__file__)))
    return 0
"""


def _make(directory: Path, version: str = "1.0", **more: bytes) -> Path:
    """Write a small program as one file."""
    files = {
        "gapless/__init__.py": b"",
        "gapless/__main__.py": COMMAND,
        f"gapless-{version}.dist-info/RECORD": b"",
        "msgspec/__init__.py": b"",
        "msgspec/_core.cpython-27-vax-bsd.so": b"",
    } | more
    path = directory / "gapless.pyz"
    content = {name: File(content=each) for name, each in files.items()}
    path.write_bytes(one_file.make(content, 0))
    return path


def _run(
    path: Path, data: Path, umask: int = 0o022
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", str(path)],
        env={"XDG_DATA_HOME": str(data)},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )


def _programs(data: Path) -> list[Path]:
    return sorted((data / "gapless" / "programs").iterdir())


def test_it_is_unpacked_once(tmp_path: Path) -> None:
    """The second command finds it; another content has another directory."""
    path = _make(tmp_path)
    first, second = _run(path, tmp_path, 0), _run(path, tmp_path)
    assert first.returncode == second.returncode == 0, first.stderr
    (program,) = _programs(tmp_path)
    assert first.stdout == second.stdout == f"{program}\n"
    for each in (program.parent, program.parent.parent, program):
        assert each.stat().st_mode & 0o022 == 0, each
    modes = {
        each.stat().st_mode & 0o777 for each in program.rglob("*") if each.is_file()
    }
    assert modes <= {0o644}
    _run(_make(tmp_path, gapless_more=b"1"), tmp_path)
    assert len(_programs(tmp_path)) == 2


def test_another_python_is_told_that_it_has_no_msgspec(tmp_path: Path) -> None:
    """Ours would hide one that is installed for it, so it is left out."""
    done = _run(_make(tmp_path), tmp_path)
    assert "has no msgspec for" in done.stderr
    (program,) = _programs(tmp_path)
    assert not (program / "msgspec").exists()


def test_what_a_killed_command_left_is_removed(tmp_path: Path) -> None:
    """It was not whole, and its name says so."""
    path = _make(tmp_path)
    _run(path, tmp_path)
    (program,) = _programs(tmp_path)
    program.rename(f"{program}.part")
    assert _run(path, tmp_path).stdout == f"{program}\n"
    assert _programs(tmp_path) == [program]


@pytest.mark.parametrize("kind", ["shared", "foreign", "link", "file"])
def test_a_program_that_others_could_change_is_not_run(
    tmp_path: Path, kind: str
) -> None:
    """Each is named."""
    path = _make(tmp_path)
    _run(path, tmp_path)
    (program,) = _programs(tmp_path)
    if kind == "shared":
        program.chmod(0o777)
    elif kind == "foreign":
        if os.geteuid():
            pytest.skip("only root may give a directory away")
        os.chown(program, 12345, 12345)
    else:
        program.rename(tmp_path / "aside")
        if kind == "link":
            program.symlink_to(tmp_path / "aside")
        else:
            program.write_bytes(b"")
    done = _run(path, tmp_path)
    assert done.returncode == 1
    assert str(program) in done.stderr
    assert not done.stdout


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """What was unpacked of it is not run."""
    path = _make(tmp_path)
    content = path.read_bytes()
    path.write_bytes(
        content.replace(b"program/gapless/__init__.py", b"program/gapless/__init__.pz")
    )
    done = _run(path, tmp_path)
    assert done.returncode == 1
    assert f"{path} has changed while it was read, or is damaged" in done.stderr
    assert _programs(tmp_path) == []
