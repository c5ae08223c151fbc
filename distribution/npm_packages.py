"""The packages for npm: what `npm pack` takes, whose archives have a time of their own."""

from __future__ import annotations

import json
from pathlib import Path

from distribution.archives import ROOT, File, read, tarball

PACKAGES = ROOT / "node"
ALWAYS = ("package.json", "README.md", "LICENSE")
"""What npm takes whatever `files` names."""


def build(package: Path, to: Path, at: int) -> Path:
    """Write the tarball of a package into a directory; return its path."""
    described = json.loads((package / "package.json").read_text())
    assert not described.get("dependencies"), f"{package.name} has dependencies"
    path = to / f"{described['name']}-{described['version']}.tgz"
    files = {f"package/{name}": file for name, file in content(package).items()}
    path.write_bytes(tarball(files, at))
    return path


def content(package: Path) -> dict[str, File]:
    """Return the files of a package by their path in it."""
    described = json.loads((package / "package.json").read_text())
    found = {}
    for name in {*described["files"], *ALWAYS}:
        path = package / name
        if path.is_dir():
            inside = read(path).items()
            found.update({f"{name}/{each}": file for each, file in inside})
        else:
            found[name] = File(content=path.read_bytes())
    return found
