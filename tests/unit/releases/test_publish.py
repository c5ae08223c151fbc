"""What of a release is made from what a tarball holds."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from gapless.releases import claiming, publish
from gapless.releases.model import ReleaseSpec


def _ignore(_step: str, _detail: str) -> None:
    """Say nothing."""


def test_a_link_called_release_leads_nowhere(tmp_path: Path) -> None:
    """RELEASE is written in the release, not where a link of that name leads."""
    (tmp_path / "dist").mkdir()
    lasting = tmp_path / "shared" / "app" / ".env"
    lasting.parent.mkdir(parents=True)
    lasting.write_text("SECRET=1\n")
    with tarfile.open(tmp_path / "app.tar", "w") as archive:
        member = tarfile.TarInfo("RELEASE")
        member.type, member.linkname = tarfile.SYMTYPE, ".env"
        archive.addfile(member)
        archive.addfile(tarfile.TarInfo("index.js"), io.BytesIO())
    spec = ReleaseSpec(app="app", base=str(tmp_path), build=(), shared=(".env",))
    with claiming.lock(spec, _ignore) as held:
        made = publish.prepare(held, str(tmp_path / "app.tar"), progress=_ignore)
    assert lasting.read_text() == "SECRET=1\n"
    assert (Path(made.path) / "RELEASE").read_text() == f"{made.stamp}\n"
