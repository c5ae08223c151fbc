"""The disk of the rig loses what was not synced, and keeps the rest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rig.hosts.host import Host
from rig.power.disk import Disk, Loss
from rig.power.recording import Recording

PROGRAM = """
import os
def write(path, content, syncs):
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        if syncs:
            os.fsync(file.fileno())
def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
os.mkdir("folder")
write("folder/synced", b"one", True)
write("folder/not-synced", b"two", False)
sync("folder")
sync(".")
write("folder/no-name", b"three", True)
os.rename("folder/synced", "moved")
os.unlink("old")
os.symlink("folder", "link")
write("link/by-link", b"four", True)
with open("log", "ab") as file:
    file.write(b" and more")
"""


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Return the disk after the last call of the program."""
    root, beside = tmp_path / "disk", tmp_path / "beside"
    for each in (root, beside):
        each.mkdir()
    (root / "old").write_text("old")
    (root / "log").write_text("begin")
    recording = Recording(root, beside, Host(tmp_path).environment)
    try:
        argv = [sys.executable, "-S", "-c", PROGRAM]
        assert recording.run(argv, directory=root) == (0, "")
    finally:
        recording.end()
    *_, last = recording.moments()
    return last.disk


def _found(disk: Disk, root: Path, loss: Loss) -> dict[str, str]:
    disk.after(loss).write()
    return {
        str(path.relative_to(root)): path.read_text()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_what_was_not_synced_is_lost(tmp_path: Path, disk: Disk) -> None:
    """Names and contents by themselves; what is lost by lot is the same again."""
    root = tmp_path / "disk"
    kept = {"old": "old", "log": "begin", "folder/synced": "one"}
    assert _found(disk, root, Loss.ALL) == kept | {"folder/not-synced": ""}
    assert not (root / "link").is_symlink()
    named = {"folder/no-name": "three", "folder/by-link": "four", "moved": "one"}
    assert _found(disk, root, Loss.CONTENT) == named | {
        "folder/not-synced": "",
        "log": "begin",
    }
    assert os.readlink(root / "link") == "folder"
    assert _found(disk, root, Loss.NAMES) == kept | {
        "folder/not-synced": "two",
        "log": "begin and more",
    }
    assert _found(disk, root, Loss.NOTHING) == named | {
        "folder/not-synced": "two",
        "log": "begin and more",
    }
    draws = [disk.after(Loss.SOME, seed).fingerprint() for seed in range(20)]
    assert draws == [disk.after(Loss.SOME, seed).fingerprint() for seed in range(20)]
    assert len(set(draws)) > 5
