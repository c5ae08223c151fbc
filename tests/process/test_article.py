"""The unchanged example of the article: under load, through releases, with its scripts."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rig.hosts.host import (
    GAPLESS,
    ROOT,
    Host,
)
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix
from rig.programs import npm
from rig.wait import free_port, until

EXAMPLE = ROOT / "examples" / "article"
KEPT = [
    engine.KEEP_ALIVE,
    engine.Traffic(kind="paused", concurrency=4, keep_alive=True, pause_s=0.7),
    engine.Traffic(kind="long-paused", concurrency=4, keep_alive=True, pause_s=2.5),
]


class Article:
    """The example on one host: its files, its port, its logs."""

    def __init__(self, host: Host, installed: Path) -> None:
        self.host, self.port, self._installed = host, free_port(), installed
        self.directory = host.directory / "example"
        self.www = host.directory / "www"
        (self.www / "log").mkdir(parents=True)
        shutil.copytree(installed, self.directory, symlinks=True)
        host.environment["PORT"] = str(self.port)
        self.declare(self.directory)

    def declare(self, directory: Path, **more: Any) -> None:
        """Write app.json with logs on this host, and with the fields of *more*."""
        text = (EXAMPLE / "app.json").read_text().replace("/var/www", str(self.www))
        (directory / "app.json").write_text(json.dumps(json.loads(text) | more))

    def ask(self) -> dict[str, str]:
        """Return the answer of the app: its release and its environment."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/")
            found: dict[str, str] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found

    def pids(self) -> set[int]:
        """Return the pids in the pid files."""
        return {int(path.read_text()) for path in self.www.glob("log/example-*.pid")}

    def upload(self, **more: Any) -> Path:
        """Put an upload of the example into the inbox, without node_modules."""
        source = self.host.directory / "upload" / "example"
        shutil.rmtree(source.parent, ignore_errors=True)
        shutil.copytree(
            EXAMPLE, source, ignore=shutil.ignore_patterns("node_modules", "scripts")
        )
        self.declare(source, **more)
        beside = self.host.directory / "example.tar.gz"
        with tarfile.open(beside, "w:gz") as archive:
            archive.add(source, "example")
        target = self.host.directory / "dfs" / "src" / "example.tar.gz"
        os.replace(beside, target)
        return target

    def start_through_link(self, *, installs: bool = False) -> Path:
        """Publish a first release and start it as the article does; return the link.

        A release that *installs* runs `npm ci`, as one does by default; others share what
        was installed once.
        """
        (self.host.directory / "dfs" / "src").mkdir(parents=True)
        release = '[release.example]\nbase = "dfs"\n'
        if not installs:
            share = ["ln", "-s", str(self._installed / "node_modules"), "node_modules"]
            release += f"build = {json.dumps(share)}\n"
        self.host.configure(release)
        self.host.ok("publish", self.upload(instances=2))
        link = self.www / "example"
        link.symlink_to(self.host.directory / "dfs" / "dist" / "example")
        self.host.ok("start", "./app.json", "--env", "production", cwd=link)
        return link

    def script(self, name: str, **environment: str) -> None:
        """Run one of the article's two scripts, with `pm2` in PATH."""
        subprocess.run(
            ["bash", str(EXAMPLE / "scripts" / name)],
            env=self.host.environment | environment,
            cwd="/",
            check=False,
            capture_output=True,
            timeout=120,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the example with its node_modules."""
    directory = tmp_path_factory.mktemp("article") / "example"
    shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("node_modules"))
    (directory / "node_modules").symlink_to(npm.node_modules(EXAMPLE))
    return directory


@pytest.fixture
def article(host: Host, installed: Path) -> Article:
    """Return the example on the host of the test."""
    return Article(host, installed)


def test_it_runs_as_it_is_and_loses_nothing(article: Article) -> None:
    """Four instances get ready; a reload and a restart under load lose no request."""
    host = article.host
    host.ok("start", "./app.json", "--env", "production", cwd=article.directory)
    row = host.app("example")
    assert row["instances"] == {"ready": 4, "wanted": 4}
    assert article.ask()["env"] == "production"
    with run_load(article.port, engine.NEW, *KEPT) as under_load:
        for verb in ("reload", "restart"):
            under_load.wait_for(100)
            before = article.pids()
            report = host.json(verb, "example")
            assert report["outcome"] == "done"
            assert report["requests"]["cut"] == report["connections"]["cut"] == 0
            assert len(article.pids()) == 4
            assert not article.pids() & before
        under_load.wait_for(100)
        assert under_load.stop().lost == 0
    assert article.pids() == set(host.app("example")["pids"])
    assert article.ask()["env"] == "production"  # --env is remembered
    host.ok("stop", "example")
    assert article.pids() == set()


@pytest.mark.soak
def test_twenty_releases_lose_nothing(article: Article) -> None:
    """Ten reloads and ten restarts lose no request, also on keep-alive connections."""
    host = article.host
    host.ok("start", "./app.json", "--env", "production", cwd=article.directory)
    with run_load(article.port, engine.NEW, *KEPT, seconds=900) as under_load:
        for _ in range(10):
            for verb in ("reload", "restart"):
                under_load.wait_for(50)
                assert host.json(verb, "example")["outcome"] == "done"
                assert under_load.lost() == 0
        assert under_load.stop().lost == 0


@pytest.mark.soak
def test_npm_run_works_through_the_command_pm2(article: Article) -> None:
    """The scripts of package.json work; a real PM2 in node_modules takes precedence."""
    host = article.host
    commands = host.directory / "bin"
    commands.mkdir()
    host.ok("pm2", "--install", commands)
    host.environment["PATH"] = f"{commands}:{host.environment['PATH']}"

    def npm(script: str) -> str:
        return subprocess.run(
            ["npm", "run", "--silent", script],
            cwd=article.directory,
            env=host.environment | {"PWD": str(article.directory)},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    npm("start")
    with run_load(article.port, engine.NEW, *KEPT) as under_load:
        under_load.wait_for(50)
        assert "reload done" in npm("restart")
        assert under_load.stop().lost == 0
    npm("stop")
    assert host.status("example") == "stopped"
    (article.directory / "node_modules").unlink()  # it is the one of all tests
    real = article.directory / "node_modules" / ".bin" / "pm2"
    real.parent.mkdir(parents=True)
    real.write_text("#!/bin/sh\necho the real one: $*\n")
    real.chmod(0o755)
    assert npm("start") == "the real one: start ./app.json --env production\n"


def test_an_upload_becomes_a_release_with_its_own_app_json(article: Article) -> None:
    """After the handoff the app runs with the app.json of its release."""
    host = article.host
    article.start_through_link(installs=True)
    first = article.ask()["release"]
    with (
        watching(host) as output,
        run_load(article.port, engine.NEW, *KEPT) as under_load,
    ):
        under_load.wait_for(50)
        article.upload(instances=3, env_production={"NODE_ENV": "production-2"})
        until(lambda: "publish done" in output(), "the release to be published", 60)
        assert under_load.stop().lost == 0
    found = article.ask()
    assert found["release"] != first
    assert found["release"] == os.path.realpath(article.www / "example")
    assert found["env"] == "production-2"
    assert host.app("example")["instances"] == {"ready": 3, "wanted": 3}


def test_a_broken_upload_takes_nothing_away(article: Article) -> None:
    """An upload whose script does not exist changes neither the link nor the app."""
    host = article.host
    article.start_through_link()
    first = article.ask()["release"]
    with run_load(article.port, engine.NEW) as under_load:
        under_load.wait_for(50)
        done = host.gapless("publish", article.upload(script="not-there.js"))
        assert done.returncode != 0
        assert "not-there.js" in done.stdout + done.stderr
        assert under_load.stop().lost == 0
    assert article.ask()["release"] == first
    assert os.path.realpath(article.www / "example") == first


@pytest.mark.soak
@pytest.mark.parametrize("watched", matrix([True, False], False))
def test_the_articles_scripts_may_stay(article: Article, *, watched: bool) -> None:
    """With and without `gapless watch` the newest release runs, and no request is lost."""
    host = article.host
    commands = host.directory / "bin"
    commands.mkdir()
    host.ok("pm2", "--install", commands)
    host.environment["PATH"] = f"{commands}:{host.environment['PATH']}"
    link = article.start_through_link()
    first = article.ask()["release"]
    base = str(host.directory / "dfs")
    with run_load(article.port, engine.NEW, *KEPT) as under_load:
        under_load.wait_for(50)
        if watched:
            with watching(host) as output:
                inbox = article.upload(instances=2)
                article.script("publish.sh", BASE=base)
                until(
                    lambda: "publish done" in output() or not inbox.exists(),
                    "the upload to be taken",
                    60,
                )
                until(
                    lambda: (
                        os.path.realpath(link) != first and (link / "RELEASE").exists()
                    ),
                    "the link to be flipped",
                    60,
                )
        else:
            article.upload(instances=2)
            article.script("publish.sh", BASE=base)
        assert os.path.realpath(link) != first
        stamp = str(host.directory / "EXAMPLE_RESTART")
        article.script("restart.sh", APP=str(link), STAMP=stamp)
        assert under_load.stop().lost == 0
    assert article.ask()["release"] == os.path.realpath(link)


@contextmanager
def watching(host: Host) -> Iterator[Callable[[], str]]:
    """Run `gapless watch`; yield a function that returns its output so far."""
    output = host.directory / "watch.out"
    with (
        output.open("w") as file,
        subprocess.Popen(
            [str(GAPLESS), "watch"],
            cwd=host.directory,
            env=host.environment,
            stdout=file,
            stderr=file,
        ) as watch,
    ):
        try:
            until(lambda: "watching" in output.read_text(), "the watch to begin")
            yield output.read_text
        finally:
            watch.terminate()
            watch.wait(30)
