"""Folders that outlive releases belong to users of apps, who may put links there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gapless.base.errors import UnavailableError
from gapless.releases.model import ReleaseSpec
from gapless.releases.steps import shared

APP_USER = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_of_an_upload_is_moved_by_way_of_a_link_of_the_app(
    tmp_path: Path, *, is_there: bool
) -> None:
    """The app says where to, an upload says what: a file of root's."""
    spec = ReleaseSpec(app="shop", base=str(tmp_path), shared=("storage/logs",))
    own, tree, private = (
        tmp_path / each for each in ("shared/shop", "tree", "private")
    )
    for made in (own, tree / "storage", private):
        made.mkdir(parents=True)
    os.chown(own, APP_USER, APP_USER)
    (own / "storage").symlink_to(private)
    os.lchown(own / "storage", APP_USER, APP_USER)
    if is_there:
        (tree / "storage/logs").write_text("of an upload")
    with pytest.raises(UnavailableError, match="a link of another user"):
        shared.link_shared(spec, str(tree))
    assert os.listdir(private) == []


def test_links_of_ones_own_lead_to_what_is_shared(tmp_path: Path) -> None:
    """On another disk, for example; what is shared may itself be any link."""
    spec = ReleaseSpec(
        app="shop", base=str(tmp_path), shared=("storage/logs", "storage/app", ".env")
    )
    own, tree, disk = (tmp_path / each for each in ("shared/shop", "tree", "disk"))
    for made in (own, tree / "storage/logs", disk):
        made.mkdir(parents=True)
    (own / "storage").symlink_to(disk)
    (own / ".env").symlink_to("/nowhere")
    (tree / "storage/logs/first").write_text("kept")
    umask = os.umask(0o077)
    try:
        shared.link_shared(spec, str(tree))
    finally:
        os.umask(umask)
    assert (disk / "logs/first").read_text() == "kept"
    assert (disk / "app").stat().st_mode & 0o777 == 0o755
    assert (tree / "storage/app").samefile(disk / "app")
    assert os.readlink(tree / ".env") == str(own / ".env")
