"""Which releases are good to go back to, and which are kept."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from rig.crash.publisher.site import Site
from rig.hosts.host import Host
from rig.wait import until

READ = """\
            version = open("VERSION").read()
            body = f"release {version} to its end\\n".encode()
            connection."""
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


def test_a_release_is_kept_while_a_stopped_app_finishes_in_it(host: Host) -> None:
    """The app is stopped, and its oldest generation still has a request."""
    site = Site(host, releases=1)
    config = host.directory / "gapless.toml"
    config.write_text(config.read_text().replace("keep = 9999", "keep = 1"))
    program = site.path_of(1) / "app.py"
    text = program.read_text().replace("settimeout(5)", "settimeout(60)")
    program.write_text(text.replace("            connection.sendall", f"{READ}sendall"))
    host.ok("reload", "shop")
    tarball = site.pack(host.directory / "shop.tar.gz", "2")
    with socket.create_connection(("127.0.0.1", site.port)) as request:
        request.sendall(b"GET / HTTP/1.1\r\n")
        publish = host.begin("publish", tarball)
        until(lambda: site.linked() == "2", "the second release to serve", 30)
        stop = host.begin("stop", "shop")
        publish.communicate(timeout=60)
        until(lambda: host.status("shop") == "stopping", "the app to stop", 30)
        host.ok("publish", site.pack(host.directory / "shop.tar.gz", "3"))
        request.sendall(b"\r\n\r\n")
        answer = request.makefile("rb").read()
    stop.communicate(timeout=60)
    assert answer.endswith(b"release 1 to its end\n"), answer
    assert marks(host) == ["", "", ""]
