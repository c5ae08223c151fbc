"""Who may read and write what gapless writes: it never depends on the umask."""

from __future__ import annotations

import ast
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import gapless
from gapless.base import files
from gapless.releases import reports
from gapless.releases.model import Release, ReleaseSpec

PACKAGE = Path(gapless.__file__).parent
EXCEPTIONS = {
    "cli/pm2/ecosystem.py": "a file of the user's own, as the umask says",
    "coordinator/files.py": "other hosts, and other users there, must read it",
    "push/mounted_transport.py": "an upload is as its uploader wants it to be",
    "push/outcome_store.py": "uploaders must read it",
    "releases/inbox": "uploaders must read and write there",
    "releases/steps/unpack.py": "the modes are those of the tarball",
}
"""Where a file or directory may be made without a mode, and why."""


def _calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a file of gapless, unless the file is an exception."""
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = str(path.relative_to(PACKAGE))
        if relative.startswith(tuple(EXCEPTIONS)):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield f"{relative}:{node.lineno}", node


def test_every_file_is_made_with_a_mode() -> None:
    """`open` makes one that every user may read, or with a wide umask write."""
    found = []
    for where, call in _calls():
        name = ast.unparse(call.func)
        says_it = any(each.arg == "opener" for each in call.keywords)
        if name == "open" and len(call.args) > 1 and not says_it:
            mode = ast.literal_eval(call.args[1])
            found += [where] * bool(set(mode) & set("wax+"))
        if name == "os.open" and "O_CREAT" in ast.unparse(call):
            found += [where] * (len(call.args) < 3)
        if name.endswith((".write_text", ".write_bytes")):
            found.append(where)
    assert found == []


def test_every_directory_is_made_with_a_mode() -> None:
    """Else others may make files in it where the umask is wide."""
    found = [
        where
        for where, call in _calls()
        if ast.unparse(call.func) in ("os.makedirs", "os.mkdir")
        and len(call.args) < 2
        and "mode" not in {each.arg for each in call.keywords}
    ]
    assert found == []


@pytest.mark.parametrize("umask", [0, 0o077])
def test_the_umask_changes_nothing(tmp_path: Path, umask: int) -> None:
    """A daemon may have been started with any."""
    before = os.umask(umask)
    try:
        made = str(tmp_path / "a" / "b")
        files.make_directories(made, files.SHARED_DIRECTORY)
        files.write_json(f"{made}/private", {})
        files.write_json(f"{made}/shared", {}, files.SHARED_FILE)
        files.write_over(f"{made}/over", b"long", files.GROUP_FILE)
        files.write_over(f"{made}/over", b"", files.GROUP_FILE)
        os.close(files.open_to_append(f"{made}/log", files.PRIVATE_FILE))
        spec = ReleaseSpec(app="app", base=str(tmp_path))
        release = Release(app="app", stamp="20260101000000", path="")
        report = reports.write_report(spec, release, "host", {"outcome": "done"})
        reports.mark_failed(spec, release, "it failed")
    finally:
        os.umask(before)
    assert [
        _mode(f"{made}/{name}") for name in ("private", "shared", "over", "log")
    ] == [
        0o600,
        0o644,
        0o640,
        0o600,
    ]
    assert _mode(str(tmp_path / "a")) == _mode(made) == 0o755
    assert _mode(report) == 0o640
    assert _mode(os.path.dirname(report)) == 0o755


def _mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_log_of_an_earlier_version_is_closed_to_others(tmp_path: Path) -> None:
    """It may hold what nobody should have read."""
    log = tmp_path / "log"
    log.write_text("old\n")
    log.chmod(0o666)
    with os.fdopen(files.open_to_append(str(log), files.GROUP_FILE), "ab") as file:
        file.write(b"new\n")
    assert _mode(str(log)) == 0o640
    assert log.read_text() == "old\nnew\n"


def test_nothing_is_written_by_way_of_a_link(tmp_path: Path) -> None:
    """A pid file lies in a directory that the app's user may write."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "link").symlink_to(victim)
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        with pytest.raises(OSError, match=r"links|device|regular"):
            files.write_over(str(tmp_path / name), b"1", files.SHARED_FILE)
    with pytest.raises(OSError, match="links"):
        files.open_to_append(str(tmp_path / "link"), files.GROUP_FILE)
    assert victim.read_text() == "kept"
