"""Who may write the shared directory gives no host more to do than a copy may take.

Without signatures the list of a release's files is the choice of who writes the record.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gapless.base import clock
from gapless.base.errors import ReleaseError, TimedOutError
from gapless.releases import copies, file_list
from gapless.releases.model import Release, ReleaseSpec

APP, STAMP = "example", "20261125000001"
NAME = f"{APP}-{STAMP}"


@pytest.fixture
def shared(tmp_path: Path) -> ReleaseSpec:
    """A shared directory with one release."""
    spec = ReleaseSpec(app=APP, base=str(tmp_path / "shared"))
    path = Path(spec.path_of(NAME))
    path.mkdir(parents=True)
    (path / "RELEASE").write_text(STAMP)
    (path / "index.js").write_text("main")
    return spec


@pytest.fixture
def own(tmp_path: Path) -> ReleaseSpec:
    """The disk of a host."""
    spec = ReleaseSpec(app=APP, base=str(tmp_path / "own"))
    Path(spec.dist).mkdir(parents=True)
    return spec


def listed(spec: ReleaseSpec) -> str:
    """Write the list of the release's files; return its digest."""
    return file_list.write(spec, Release(app=APP, stamp=STAMP, path=spec.path_of(NAME)))


LISTS: list[object] = [
    {"../x": {"link": "y"}},
    {"/x": {"link": "y"}},
    {"a": {"link": "/etc"}, "a/b": {"sha256": "0" * 64, "mode": 420}},
    {"a/b": {"sha256": "0" * 64, "mode": 420}},
    {"a": {"sha256": "0" * 64, "mode": 0o4755}},
    {"a": {"sha256": "0" * 64, "mode": "420"}},
    {"a": {"sha256": 7, "mode": 420}},
    {"a": {"link": 7}},
    {"a": {"directory": 1}},
    {"a": {"directory": True, "link": "x"}},
    {"a": {}},
    {"a": []},
    {"": {"directory": True}},
    {"a\0": {"directory": True}},
    {"a\ud800": {"directory": True}},
    {"a": {"link": "\ud800"}},
    {"RELEASE": {"link": "/etc/passwd"}},
    ["a"],
    7,
]


@pytest.mark.parametrize("content", [*map(json.dumps, LISTS), "[" * 100_000, "{", ""])
def test_a_hostile_list_of_files_is_refused(tmp_path: Path, content: str) -> None:
    """It is no path, no file, or not what a release has."""
    spec = ReleaseSpec(app=APP, base=str(tmp_path))
    path = Path(file_list.path_of(spec, NAME))
    path.parent.mkdir(parents=True)
    path.write_text(content)
    digest = file_list.digest_of(spec, NAME)
    with pytest.raises(ReleaseError, match="is no list of files"):
        file_list.read(spec, NAME, digest)


def test_folders_of_any_depth_stop_no_host(
    shared: ReleaseSpec, own: ReleaseSpec
) -> None:
    """A list may ask for them: a copy that failed, or an agent that died, leaves them."""
    left = Path(own.work, "copy-before")
    left.mkdir(parents=True)
    for count in range(1, 1500):
        (left / "/".join("d" * count)).mkdir()
    found = [*file_list.differences(str(left), {}, allows_more=False)]
    assert len(found) == 1499
    copied = copies.copy(shared, own, NAME, listed(shared), clock.monotonic() + 20)
    assert Path(copied.path, "index.js").read_text() == "main"
    assert not left.exists()


def test_a_file_without_end_is_not_copied_for_ever(
    shared: ReleaseSpec, own: ReleaseSpec
) -> None:
    """Nothing of it stays on the host's disk."""
    digest = listed(shared)
    os.truncate(Path(shared.path_of(NAME), "index.js"), 1 << 40)
    with pytest.raises(TimedOutError, match="was not copied in time"):
        copies.copy(shared, own, NAME, digest, clock.monotonic() + 0.1)
    assert os.listdir(own.work) == []
