"""What is removed with a superfluous release, and what stays."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from gapless.releases import file_list, publish, publisher_lock, removal, reports
from gapless.releases.inbox import claims
from gapless.releases.model import ReleaseSpec


def _ignore(_step: str, _detail: str) -> None:
    """Report no step."""


def test_the_list_of_files_goes_with_its_release(tmp_path: Path) -> None:
    """No host copies the release any more; its reports stay."""
    (tmp_path / "dist").mkdir()
    spec = ReleaseSpec(app="app", base=str(tmp_path), build=(), keep=1)
    made = []
    for _ in range(3):
        with tarfile.open(tmp_path / "app.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo("index.js"), io.BytesIO())
        with publisher_lock.hold(spec, _ignore) as held:
            made.append(
                publish.make_release(held, str(tmp_path / "app.tar"), progress=_ignore)
            )
            file_list.write(spec, made[-1])
            claims.finish(spec)
            reports.mark_proven(spec, made[-1].name)
    removal.remove_superfluous(spec, frozenset())
    lists = [file_list.digest_of(spec, each.name) != "" for each in made]
    assert lists == [False, False, True]
    assert all(Path(spec.reports, e.name, "manifest.json").exists() for e in made)
