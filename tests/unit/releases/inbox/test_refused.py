"""Refused uploads stay, up to a number."""

from __future__ import annotations

from pathlib import Path

from gapless.releases import publisher_lock
from gapless.releases.inbox import claims, refused
from gapless.releases.model import ReleaseSpec


def _ignore(_step: str, _detail: str) -> None:
    """Report no step."""


def test_refused_uploads_have_an_end(tmp_path: Path) -> None:
    """Each push has a name of its own, and a broken build may be pushed daily."""
    spec = ReleaseSpec(app="app", base=str(tmp_path))
    with publisher_lock.hold(spec, _ignore):
        for number in range(refused.KEPT + 3):
            upload = tmp_path / "src" / f"app-{number}.tar"
            upload.write_text("no tarball")
            with claims.open_source(spec, str(upload)) as source:
                copy = claims.claim(spec, source)
                claims.refuse(spec, source, copy, "it is broken")
    left = {path.name for path in (tmp_path / "refused" / "app").iterdir()}
    kept = {f"app-{3 + number}.tar" for number in range(refused.KEPT)}
    assert left == kept | {f"{name}.reason.txt" for name in kept}
    listed = refused.kept(spec)
    assert listed == [
        (f"app-{3 + number}.tar", "it is broken") for number in range(refused.KEPT)
    ]
