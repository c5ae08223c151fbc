"""The Debian package, in a clean Debian: installed, upgraded under load, and removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import gapless
from distribution import libraries
from rig.hosts import processes
from rig.hosts.host import ROOT
from rig.installs import built, debian_tree
from rig.installs.debian_tree import USER, USER_ID, Tree
from rig.load.engine import Traffic
from rig.load.process import run_load
from rig.programs import npm
from rig.wait import free_port, until

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a Debian"),
]
EXAMPLE = ROOT / "examples" / "article"
HOME = f"/home/{USER}"
GAPLESS_HOME = f"{HOME}/.gapless"
PACED = Traffic(kind="new", concurrency=2, pause_s=0.02)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """Return a clean Debian with the example in it; end what a failed test left."""
    with debian_tree.copied(tmp_path / "debian") as found:
        try:
            yield found
        finally:
            processes.kill_all(_running(found))


def _running(tree: Tree) -> set[int]:
    """Return the pids of what runs in the tree."""
    found = set()
    for pid in processes.living():
        try:
            if os.path.samefile(f"/proc/{pid}/root", tree.root):
                found.add(pid)
        except OSError:
            continue
    return found


def _packages(to: Path) -> tuple[str, str]:
    """Build this version and a later one into the tree; return their paths there."""
    names = [
        built.debian_package(version, to / "tmp").name
        for version in (gapless.__version__, built.LATER)
    ]
    return f"/tmp/{names[0]}", f"/tmp/{names[1]}"


def _write_example(tree: Tree, port: int) -> None:
    directory = tree.root / HOME[1:] / "example"
    shutil.copytree(
        EXAMPLE, directory, ignore=shutil.ignore_patterns("node_modules", "scripts")
    )
    shutil.copytree(
        npm.node_modules(EXAMPLE), directory / "node_modules", symlinks=True
    )
    declared = (EXAMPLE / "app.json").read_text().replace("/var/www", f"{HOME}/www")
    declared = json.dumps(json.loads(declared) | {"env": {"PORT": str(port)}})
    (directory / "app.json").write_text(declared)
    (tree.root / HOME[1:] / "www" / "log").mkdir(parents=True)
    tree.ok("chown", "-R", f"{USER}:", HOME)


def _gapless(tree: Tree, *words: str, program: str = "gapless") -> str:
    command = ("env", "-C", f"{HOME}/example", program, *words)
    return tree.ok(*command, user=USER_ID, HOME=HOME)


def _pids(tree: Tree, program: str = "gapless") -> list[int]:
    described = _gapless(tree, "describe", "example", "--json", program=program)
    found: list[int] = json.loads(described)["pids"]
    return found


def test_apps_serve_through_an_upgrade_and_it_is_removed_without_a_trace(
    tree: Tree,
) -> None:
    """`dpkg -i` of a later version replaces what runs; removal waits for an order."""
    before, port = tree.files(), free_port()
    own, later = _packages(tree.root)
    assert (
        "gapless"
        not in tree.ok("dpkg", "-i", own).replace(own, "").split("Setting")[2:]
    )
    assert _running(tree) == set()
    _write_example(tree, port)
    _gapless(tree, "start", "app.json")
    pids = _pids(tree)
    with run_load(port, PACED) as load:
        load.wait_for(20)
        said = tree.ok("dpkg", "-i", later)
        assert f"gapless of {USER} ({GAPLESS_HOME}): supervisor" in said, said
        assert f"-> {built.LATER}" in said
        assert _pids(tree) == pids
        load.wait_for(20)
        _gapless(tree, "reload", "example")
        refused = tree.run("dpkg", "--remove", "gapless")
        assert refused.returncode != 0
        assert f"gapless runs the apps of {USER}" in refused.stderr
        tree.ok("dpkg", "--configure", "--pending")
        load.wait_for(20)
        tree.ok("dpkg", "-i", own)  # back again
        load.wait_for(20)
        report = load.stop()
    assert report.lost == 0, str(report)
    tree.ok("dpkg", "--verify", "gapless")
    _gapless(tree, "shutdown")
    until(lambda: not _running(tree), "the end of all")
    tree.ok("dpkg", "--purge", "gapless")
    assert tree.files() - before == set()
    assert before - tree.files() == set()


class OneFile:
    """`gapless.pyz` in the user's own directory, under the command's name."""

    program = f"{HOME}/bin/gapless"

    def install(self, tree: Tree, version: str) -> None:
        """Put the file in its place, by a rename as one replaces what runs."""
        shutil.copy(built.one_file_of(version), tree.root / "tmp" / "gapless.pyz")
        tree.ok("install", "-D", "/tmp/gapless.pyz", f"{self.program}.new")
        tree.ok("mv", f"{self.program}.new", self.program)

    def uninstall(self, tree: Tree) -> None:
        """Remove the file and what it has unpacked."""
        tree.ok("rm", "-r", f"{HOME}/bin", f"{HOME}/.local/share/gapless")


class Wheel:
    """The wheel in a virtual environment of root's, installed by pip."""

    program = "/opt/gapless/bin/gapless"

    def install(self, tree: Tree, version: str) -> None:
        """Install the wheel and its libraries, without a network."""
        python, machine = "3.11", libraries.this_machine()[1]
        for path in (built.wheel_of(version), *libraries.wheels([python], [machine])):
            shutil.copy(path, tree.root / "tmp")
        tree.ok("python3", "-m", "venv", "/opt/gapless")
        pip = ("/opt/gapless/bin/pip", "install", "--no-index", "--find-links=/tmp")
        tree.ok(*pip, f"gapless=={version or gapless.__version__}")

    def uninstall(self, tree: Tree) -> None:
        """Remove the virtual environment."""
        tree.ok("rm", "-r", "/opt/gapless")


@pytest.mark.parametrize("kind", [OneFile(), Wheel()], ids=["pyz", "wheel"])
def test_apps_serve_through_the_upgrade_of_other_kinds(
    tree: Tree, kind: OneFile | Wheel
) -> None:
    """They are removed without a trace, too."""
    before, port = tree.files(), free_port()
    _write_example(tree, port)
    at_home = set(os.listdir(tree.root / HOME[1:]))
    kind.install(tree, "")
    _gapless(tree, "start", "app.json", program=kind.program)
    pids = _pids(tree, kind.program)
    with run_load(port, PACED) as load:
        load.wait_for(20)
        kind.install(tree, built.LATER)
        said = _gapless(tree, "upgrade", program=kind.program)
        assert f"-> {built.LATER}" in said
        assert _pids(tree, kind.program) == pids
        load.wait_for(20)
        _gapless(tree, "reload", "example", program=kind.program)
        load.wait_for(20)
        report = load.stop()
    assert report.lost == 0, str(report)
    _gapless(tree, "shutdown", program=kind.program)
    until(lambda: not _running(tree), "the end of all")
    kind.uninstall(tree)
    tree.ok("rm", "-r", GAPLESS_HOME)
    assert tree.files() == before
    assert set(os.listdir(tree.root / HOME[1:])) <= at_home | {".local"}


def test_a_supervisor_that_hangs_keeps_no_upgrade_of_the_system_waiting(
    tree: Tree,
) -> None:
    """It goes on as it was, and the package is installed."""
    port = free_port()
    own, later = _packages(tree.root)
    tree.ok("dpkg", "-i", own)
    _write_example(tree, port)
    _gapless(tree, "start", "app.json", "-i", "1")
    supervisor = json.loads(_gapless(tree, "list", "--json"))["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        said = tree.ok("dpkg", "-i", later)
        assert f"gapless of {USER} ({GAPLESS_HOME}): it did not answer" in said
        refused = tree.run("dpkg", "--remove", "gapless")
        assert "and does not answer: it is not removed" in refused.stderr
    finally:
        os.kill(supervisor, signal.SIGCONT)
    tree.ok("dpkg", "--configure", "--pending")
    assert f"gapless {built.LATER}" in _gapless(tree, "--version")
    assert "upgrade" in _gapless(tree, "doctor")
    _gapless(tree, "upgrade")
    _gapless(tree, "shutdown")
    until(lambda: not _running(tree), "the end of all")
