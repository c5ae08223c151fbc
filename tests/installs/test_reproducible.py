"""What is released depends on the sources alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distribution import npm_packages
from rig.hosts.host import ROOT

AT = "1700000000"
pytestmark = pytest.mark.soak


def _copy(to: Path, umask: int) -> None:
    """Copy the files that git knows, or would, made with a umask."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        source, target = ROOT / name, to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_file():
            shutil.copyfile(source, target)
            target.chmod(0o666 & ~umask)
    (to / "build").symlink_to((ROOT / "build").resolve())


def _make(checkout: Path, to: Path, umask: int, **variables: str) -> dict[str, bytes]:
    """Make everything from a checkout; return it by name."""
    _copy(checkout, umask)
    environment = os.environ | {
        "SOURCE_DATE_EPOCH": AT,
        "PYTHONPATH": f"{checkout}/packages/gapless/src",
    }
    subprocess.run(
        [sys.executable, "-m", "distribution", "--to", str(to)],
        cwd=checkout,
        env=environment | variables,
        umask=umask,
        check=True,
    )
    return {path.name: path.read_bytes() for path in to.iterdir()}


def test_it_is_the_same_from_two_directories(tmp_path: Path) -> None:
    """Neither the place, the umask, the time zone nor the language is in it."""
    first = _make(tmp_path / "a", tmp_path / "out-a", 0o022)
    second = _make(
        tmp_path / "longer" / "way" / "to-b",
        tmp_path / "out-b",
        0o077,
        TZ="Asia/Shanghai",
        LANG="zh_CN.UTF-8",
        PYTHONHASHSEED="1",
    )
    assert len(first) == 11
    assert [name for name in first if first[name] != second.get(name)] == []
    assert first.keys() == second.keys()
    _check_sums(tmp_path / "out-a")
    _check_bill(json.loads(first["gapless-0.1.0.cdx.json"]), first)
    _check_source_package(tmp_path / "out-a", tmp_path)


def _check_sums(directory: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    subprocess.run(command, cwd=directory, check=True)
    listed = (directory / "SHA256SUMS").read_text().splitlines()
    assert len(listed) == len(list(directory.iterdir())) - 1


def _check_bill(bill: dict[str, object], files: dict[str, bytes]) -> None:
    text = json.dumps(bill)
    assert "://" not in text.replace("urn:uuid:", "")
    components = bill["components"]
    assert isinstance(components, list)
    names = {each["name"] for each in components}
    assert names == {
        *(files.keys() - {"SHA256SUMS", "gapless-0.1.0.cdx.json"}),
        *("h11", "json5", "msgspec", "ruamel-yaml"),
    }
    assert all(each["hashes"] for each in components)


def _check_source_package(made: Path, to: Path) -> None:
    """Whoever builds the wheel from the source package has the same wheel."""
    for source in made.glob("gapless*-*.tar.gz"):
        shutil.unpack_archive(source, to)
        package = to / source.name.removesuffix(".tar.gz")
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(to)],
            cwd=package,
            env=os.environ | {"SOURCE_DATE_EPOCH": AT},
            check=True,
        )
    for wheel in made.glob("*.whl"):
        assert (to / wheel.name).read_bytes() == wheel.read_bytes(), wheel.name


@pytest.mark.parametrize("name", ["gapless-drain", "gapless-pm2"])
def test_npm_would_pack_the_same_files(name: str) -> None:
    """And a program that depends on the package finds it."""
    package = ROOT / "node" / name
    done = subprocess.run(
        ["npm", "pack", "--dry-run", "--json", "--ignore-scripts"],
        cwd=package,
        capture_output=True,
        text=True,
        check=True,
    )
    packed = {each["path"] for each in json.loads(done.stdout)[0]["files"]}
    # npm takes no link; ours is the licence.
    assert packed | {"LICENSE"} == npm_packages.content(package).keys()


def test_npm_installs_it(tmp_path: Path) -> None:
    """Without a network, from the tarball alone."""
    made = [
        npm_packages.build(path.parent, tmp_path, int(AT))
        for path in (ROOT / "node").glob("*/package.json")
    ]
    project = tmp_path / "project"
    project.mkdir()
    (project / "package.json").write_text("{}")
    quiet = ("--offline", "--no-audit", "--no-fund", "--silent")
    command = ["npm", "install", *quiet, *map(str, made)]
    subprocess.run(command, cwd=project, check=True)
    script = "new (require('gapless-drain').Drain)(); require('gapless-pm2').connect"
    subprocess.run(["node", "-e", script], cwd=project, check=True)
    script = "import { Drain } from 'gapless-drain'; import pm2 from 'gapless-pm2'"
    command = ["node", "--input-type=module", "-e", script]
    subprocess.run(command, cwd=project, check=True)
