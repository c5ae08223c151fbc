"""A fresh virtual environment: the example of the article, an upgrade, and no trace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gapless
from rig.hosts import control, processes
from rig.hosts.host import ROOT, Host
from rig.installs import built
from rig.load.engine import Traffic
from rig.load.process import run_load
from rig.matrix import matrix
from rig.programs import npm
from rig.wait import answers, free_port

EXAMPLE = ROOT / "examples" / "article"
UV = Path(sys.executable).with_name("uv")
KINDS = ["pyz", "wheel"]
PACED = Traffic(kind="new", concurrency=1, pause_s=0.05)


class Environment:
    """A virtual environment, in which one kind of release is installed."""

    def __init__(self, host: Host, kind: str) -> None:
        self.directory, self.kind = host.directory / "venv", kind
        command = [sys.executable, "-m", "venv", "--without-pip", str(self.directory)]
        subprocess.run(command, check=True)
        self._host = host
        path = f"{self.directory}/bin:{host.environment['PATH']}"
        data = host.directory / "data"
        host.environment |= {"PATH": path, "XDG_DATA_HOME": str(data)}
        self.before = self.files()

    def install(self, version: str = "") -> None:
        """Install this version, or another one."""
        if self.kind == "pyz":
            program = self._host.directory / "gapless.pyz"
            beside = program.with_suffix(".new")
            shutil.copy(built.one_file_of(version), beside)
            beside.replace(program)
        else:
            program = self.directory / "bin" / "gapless"
            places = {f"--find-links={each.parent}" for each in built.wheels()}
            self._uv("install", "--no-index", *places, str(built.wheel_of(version)))
        self._host.program = program

    def uninstall(self) -> None:
        """Do what docs/install.md says."""
        if self.kind == "pyz":
            self._host.program.unlink()
            shutil.rmtree(self._host.directory / "data" / "gapless")
        else:
            self._uv("uninstall", "gapless", "h11", "json5", "msgspec", "ruamel-yaml")
        shutil.rmtree(self._host.home)

    def _uv(self, *words: str) -> None:
        command = [str(UV), "pip", words[0], f"--python={self.directory}", *words[1:]]
        environment = os.environ | {"UV_LINK_MODE": "copy"}
        subprocess.run(command, check=True, capture_output=True, env=environment)

    def files(self) -> set[str]:
        """Return what is in the directory of the host, but for what Python compiled."""
        return {
            str(path.relative_to(self._host.directory))
            for path in self._host.directory.rglob("*")
            if "__pycache__" not in path.parts
            and "example" not in path.parts
            and path.name != ".lock"  # of uv
        }


@pytest.mark.parametrize("kind", matrix(KINDS, "pyz"))
def test_it_runs_the_example_and_leaves_no_trace(host: Host, kind: str) -> None:
    """It is released once, and what is removed as the page says is gone."""
    installed = Environment(host, kind)
    installed.install()
    port = _start_example(host)
    assert _titles(host) == ["gapless guardian", "gapless keeper", "gapless supervise"]
    host.ok("reload", "example")
    assert answers(port)
    host.ok("shutdown")
    installed.uninstall()
    assert installed.files() - installed.before <= {"data"}


def test_the_wheel_finds_all_that_it_needs(host: Host) -> None:
    """Its command reads a configuration, for which it needs each of its libraries."""
    installed = Environment(host, "wheel")
    installed.install()
    _write_example(host.directory / "example")
    host.environment["PORT"] = "3000"
    host.ok("check", "app.json", cwd=host.directory / "example")


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_upgraded_and_goes_back(host: Host, kind: str) -> None:
    """No request is lost, and the apps stay the same processes, there and back."""
    installed = Environment(host, kind)
    installed.install()
    port = _start_example(host)
    pids = host.app("example")["pids"]
    with run_load(port, PACED) as load:
        for version in (built.LATER, gapless.__version__):
            load.wait_for(20)
            installed.install("" if version == gapless.__version__ else version)
            said = host.ok("upgrade")
            assert f"-> {version}" in said
            found: Any = control.ask(host.home, "ping")
            assert found["version"] == found["keeper_version"] == version
            assert host.app("example")["pids"] == pids
        host.ok("reload", "example")
        load.wait_for(20)
        report = load.stop()
    assert report.lost == 0, str(report)
    host.ok("shutdown")
    installed.uninstall()
    assert installed.files() - installed.before <= {"data"}


@pytest.mark.soak
def test_what_runs_from_one_file_outlives_it(host: Host) -> None:
    """The file may be replaced or removed: what runs has its own files."""
    installed = Environment(host, "pyz")
    installed.install()
    port = _start_example(host)
    with run_load(port, PACED) as load:
        load.wait_for(5)
        aside = host.program.with_suffix(".aside")
        host.program.write_bytes(b"damaged")
        os.kill(host.keeper_pid(), signal.SIGKILL)
        shutil.copy(built.one_file_of(), aside)
        host.program = aside
        host.ok("reload", "example")
        load.wait_for(20)
        report = load.stop()
    assert report.lost == 0, str(report)


def _start_example(host: Host) -> int:
    """Start the example of the article; return its port."""
    port, example = free_port(), host.directory / "example"
    _write_example(example)
    host.environment["PORT"] = str(port)
    host.ok("start", "app.json", "-i", "1", "--env", "production", cwd=example)
    return port


def _write_example(directory: Path) -> None:
    """Write the example, with its logs on this host."""
    ignored = shutil.ignore_patterns("node_modules", "scripts")
    shutil.copytree(EXAMPLE, directory, ignore=ignored)
    (directory / "node_modules").symlink_to(npm.node_modules(EXAMPLE))
    log = directory / "log"
    log.mkdir()
    text = (EXAMPLE / "app.json").read_text().replace("/var/www/log", str(log))
    (directory / "app.json").write_text(text)


def _titles(host: Host) -> list[str]:
    found = (processes.living().get(pid) for pid in host.own_pids())
    return sorted(each.command.strip() for each in found if each)
