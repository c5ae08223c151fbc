"""The pieces of what is released: archives, the lock file, Debian's words, the bill."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

import gapless
from distribution import archives, bill, libraries, one_file
from distribution.archives import File
from distribution.debian import package
from rig.hosts.host import ROOT
from rig.installs import built


def test_the_order_of_files_does_not_matter() -> None:
    """Archives sort them."""
    files = {name: File(content=name.encode()) for name in ("b", "a/c", "a/b")}
    turned = dict(reversed(files.items()))
    for make in (archives.tarball, archives.zipped):
        assert make(files, 1) == make(turned, 1)
        assert make(files, 1) != make(files | {"d": File(content=b"")}, 1)
    assert one_file.digest(files) == one_file.digest(turned)


def test_each_number_of_the_version_is_the_same() -> None:
    """One is raised with the others."""
    declared = {
        str(path): tomllib.loads(path.read_text())["project"]["version"]
        for path in (ROOT / "packages").glob("*/pyproject.toml")
    } | {
        str(path): json.loads(path.read_text())["version"]
        for path in (ROOT / "node").glob("*/package.json")
    }
    assert len(declared) == 4
    assert set(declared.values()) == {gapless.__version__}


def test_what_gapless_needs_is_what_the_lock_file_has() -> None:
    """The program has each library, and no other."""
    needed = {each.name: each for each in libraries.needed()}
    assert set(needed) == {"h11", "json5", "msgspec", "ruamel-yaml"}
    assert all(each.digests for each in needed.values())


@pytest.mark.parametrize(
    ("version", "debian"),
    [("0.1.0", "0.1.0"), ("1.0rc1", "1.0~rc1"), ("1.0.dev3", "1.0~dev3")],
)
def test_debian_sorts_what_comes_before_a_version(version: str, debian: str) -> None:
    """Debian takes ~ for less than nothing."""
    assert package.debian_version(version) == debian


def test_the_unit_is_of_any_user() -> None:
    """It is that of `gapless startup`, but for the user and the home."""
    lines = package.unit().splitlines()
    assert "User=%i" in lines
    assert "ExecStart=/usr/bin/gapless supervise" in lines
    assert "@" not in package.unit()
    assert not [each for each in lines if "GAPLESS_HOME" in each]


def test_the_bill_has_what_the_lock_file_says(tmp_path: Path) -> None:
    """Its digests are those of the wheels, and it is the same the second time."""
    made = tmp_path / "gapless.pyz"
    made.write_bytes(b"")
    first = bill.make([made], built.wheels(), "1.0", 0)
    assert first == bill.make([made], built.wheels(), "1.0", 0)
    found = {each["name"]: each for each in json.loads(first)["components"]}
    assert found["gapless.pyz"]["hashes"][0]["content"].startswith("e3b0c442")
    for library in libraries.needed():
        digests = {each["content"] for each in found[library.name]["hashes"]}
        assert digests
        assert digests <= library.digests
