"""What of a release is made from what a tarball holds."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from gapless.releases import claims, copies, publish
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
    with claims.lock(spec, _ignore) as held:
        made = publish.prepare(held, str(tmp_path / "app.tar"), progress=_ignore)
    assert lasting.read_text() == "SECRET=1\n"
    assert (Path(made.path) / "RELEASE").read_text() == f"{made.stamp}\n"


def test_refused_uploads_have_an_end(tmp_path: Path) -> None:
    """Each push has a name of its own, and a build that is broken may be pushed daily."""
    spec = ReleaseSpec(app="app", base=str(tmp_path))
    with claims.lock(spec, _ignore):
        for number in range(claims.KEPT_REFUSED + 3):
            upload = tmp_path / "src" / f"app-{number}.tar"
            upload.write_text("no tarball")
            claimed = claims.claim(spec, str(upload))
            claims.set_aside(spec, claimed, upload.name, "it is broken")
    left = {path.name for path in (tmp_path / "src" / "refused").iterdir()}
    kept = {f"app-{3 + number}.tar" for number in range(claims.KEPT_REFUSED)}
    assert left == kept | {f"{name}.reason.txt" for name in kept}


def test_the_list_of_files_goes_with_its_release(tmp_path: Path) -> None:
    """Nobody copies it any more; what was told of it stays."""
    (tmp_path / "dist").mkdir()
    spec = ReleaseSpec(app="app", base=str(tmp_path), build=(), keep=1)
    made = []
    for _ in range(3):
        with tarfile.open(tmp_path / "app.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo("index.js"), io.BytesIO())
        with claims.lock(spec, _ignore) as held:
            made.append(
                publish.prepare(held, str(tmp_path / "app.tar"), progress=_ignore)
            )
            copies.seal(spec, made[-1])
            claims.finish(spec)
    publish.remove_superfluous(spec, frozenset())
    lists = [copies.sealed(spec, each.name) != "" for each in made]
    assert lists == [False, False, True]
    assert all(Path(spec.reports, e.name, "manifest.json").exists() for e in made)
