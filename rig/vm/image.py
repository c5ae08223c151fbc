"""The disk of a machine: a tree with this checkout in it, and its wheels installed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from rig.hosts.host import ROOT
from rig.vm import settings
from rig.vm import tree as trees

SIZE = "6G"
"""How large the disk is for the machine; the file is sparse."""


def make(tree: Path) -> Path:
    """Return the image of this checkout, which is made if it has changed."""
    files = _checkout()
    image = trees.BUILD / f"image-{_hash(tree, files)}"
    if not image.exists():
        for old in trees.BUILD.glob("image-*"):
            old.unlink()
        _fill(tree, files)
        settings.write(tree)
        part = image.with_name("image.part")
        subprocess.run(
            ["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(part), SIZE],
            check=True,
        )
        part.rename(image)
    return image


def _checkout() -> list[Path]:
    """Return the files that git knows, or would, and that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    paths = [ROOT / name.decode() for name in listed if name]
    return sorted(path for path in paths if path.is_file())


def _hash(tree: Path, files: list[Path]) -> str:
    found = hashlib.sha256(tree.name.encode() + settings.source())
    for path in files:
        found.update(f"{path}\0{path.stat().st_mode}\0".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:12]


def _fill(tree: Path, files: list[Path]) -> None:
    """Put the checkout into the tree, and install its wheels as users do."""
    target = tree / trees.CHECKOUT
    for old in target.iterdir():
        if old.name not in (".venv", "build"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for path in files:
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    wheels = tree / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", str(wheels)),
            *(str(path.parent) for path in ROOT.glob("packages/*/pyproject.toml")),
        ],
        check=True,
    )
    names = [f"/wheels/{path.name}" for path in sorted(wheels.iterdir())]
    drain = [name for name in names if "gapless_drain" in name]
    for place, wanted in ((".venv", names), ("build/servers", drain)):
        pip = f"/{trees.CHECKOUT}/{place}/bin/pip"
        install = ("install", "--quiet", "--no-index", "--no-deps", "--force-reinstall")
        trees.in_tree(tree, pip, *install, *wanted)
    shutil.rmtree(wheels)
    python = f"/{trees.CHECKOUT}/.venv/bin/python"
    trees.in_tree(tree, python, "-m", "compileall", "-q", f"/{trees.CHECKOUT}/rig")
