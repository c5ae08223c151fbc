"""What of a release is made from what a tarball holds."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from gapless.releases import publish, publisher_lock
from gapless.releases.model import ReleaseSpec


def _ignore(_step: str, _detail: str) -> None:
    """Report no step."""


def test_a_link_called_release_leads_nowhere(tmp_path: Path) -> None:
    """RELEASE is written in the release, not in the target of a link by that name."""
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
    with publisher_lock.hold(spec, _ignore) as held:
        made = publish.make_release(held, str(tmp_path / "app.tar"), progress=_ignore)
    assert lasting.read_text() == "SECRET=1\n"
    assert (Path(made.path) / "RELEASE").read_text() == f"{made.stamp}\n"
