"""Which releases count as failed: those that failed, until they serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rig.crash.publisher.site import Site
from rig.hosts.host import Host
from rig.wait import until

WAITS = """
import os, select
while not os.path.exists("../../open"):
    select.select([], [], [], 0.05)
"""


def marks(host: Host) -> list[str]:
    """Return why each release failed, oldest first; empty for one that did not."""
    return [str(row["failure"] or "") for row in host.json("releases", "shop")]


def wait_for_trial(host: Host) -> None:
    """Wait until a new generation is on trial."""

    def roles() -> list[Any]:
        return [each["role"] for each in host.app("shop")["generations"]]

    until(lambda: "trial" in roles(), "a generation on trial", 30)


@pytest.mark.parametrize("words", [("reload", "shop"), ("stop", "shop")])
def test_a_release_that_something_else_stopped_has_not_failed(
    host: Host, words: tuple[str, ...]
) -> None:
    """A rollback that was superseded, or stopped by hand, goes no further next time."""
    site = Site(host, releases=3)
    program = site.path_of(2) / "app.py"
    program.write_text(WAITS + program.read_text())
    rollback = host.begin("rollback", "shop")
    wait_for_trial(host)
    host.ok(*words)
    said, _ = rollback.communicate(timeout=60)
    assert rollback.returncode == 1, said
    assert marks(host) == ["", "", ""]
    (host.directory / "dfs" / "open").touch()
    if words[0] == "stop":
        host.ok("start", "gapless.toml")
    assert site.serving() == "3"
    host.ok("rollback", "shop")
    assert (site.serving(), site.linked()) == ("2", "2")


def test_a_release_that_serves_has_not_failed(host: Host) -> None:
    """It failed while its database was away: it is kept and gone back to like any other."""
    site = Site(host, releases=1)
    config = host.directory / "gapless.toml"
    config.write_text(config.read_text().replace("keep = 9999", "keep = 1"))
    failed = host.json("publish", site.pack(host.directory / "shop.tar.gz", "bad"))
    assert failed["outcome"] == "failed"
    assert [bool(each) for each in marks(host)] == [False, True]
    second = Path(site.dist, failed["release"]["new"])
    (second / "VERSION").write_text("2")
    host.ok("rollback", "shop", second.name)
    assert site.serving() == "2"
    assert marks(host) == ["", ""]
    host.ok("publish", site.pack(host.directory / "shop.tar.gz", "3"))
    assert second.is_dir()
    host.ok("rollback", "shop")
    assert (site.serving(), site.linked()) == ("2", "2")


def test_a_release_that_serves_on_has_not_failed(host: Host) -> None:
    """It could not be started once more: its generation serves, and is what it was."""
    site = Site(host, releases=2)
    version = site.path_of(2) / "VERSION"
    version.write_text("bad")
    assert host.gapless("rollback", "shop", site.path_of(2).name).returncode == 1
    version.write_text("2")
    assert site.serving() == "2"
    assert marks(host) == ["", ""]


def test_a_mark_of_an_earlier_version_does_not_outlive_a_publish(host: Host) -> None:
    """It may have been written for a release that serves since."""
    site = Site(host, releases=2)
    config = host.directory / "gapless.toml"
    config.write_text(config.read_text().replace("keep = 9999", "keep = 1"))
    mark = host.directory / "dfs" / "reports" / "shop" / site.path_of(2).name
    mark.mkdir(parents=True)
    (mark / "failed.txt").write_text("superseded by generation 4\n")
    host.ok("publish", site.pack(host.directory / "shop.tar.gz", "3"))
    host.ok("rollback", "shop")
    assert (site.serving(), site.linked()) == ("2", "2")
