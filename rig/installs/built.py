"""What tests install: built once for each state of the sources, for this machine alone.

`distribution` builds it, as for a release.  Another version is the same program with
another number, so that a test can go from one to the other.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import gapless
from distribution import archives, libraries, one_file, program, python_packages
from distribution.archives import File
from distribution.debian import package
from rig.hosts.host import ROOT

BUILD = ROOT / "build" / "installs"
_SOURCES = ("packages", "node/gapless-drain/src", "distribution", "requirements")
AT = 1_700_000_000
"""The time of all files, in seconds."""
LATER = "9.0.0"
"""A version that tests upgrade to."""
KEPT = 8
"""So many states of the sources stay built: several checkouts may share the directory."""


def wheels() -> list[Path]:
    """Return the wheels of the libraries, for this Python and machine."""
    python, machine = libraries.this_machine()
    return libraries.wheels([python], [machine])


def one_file_of(version: str = "") -> Path:
    """Return `gapless.pyz` of a version; of this one, if it is empty."""
    return _built("gapless.pyz", version, _build_one_file)


def wheel_of(version: str = "") -> Path:
    """Return the wheel of a version; of this one, if it is empty."""
    name = f"gapless-{version or gapless.__version__}-py3-none-any.whl"
    return _built(name, version, _build_wheel)


def debian_package(version: str, to: Path) -> Path:
    """Build the Debian package of a version for this machine."""
    own = program.tree(wheel_of(), libraries.wheels())
    _, machine = libraries.this_machine()
    return package.build(numbered(own, version), machine, to, AT)


def _built(name: str, version: str, build: Callable[[Path, str], None]) -> Path:
    """Return a file of the state that the sources are in; build it, if it is not there."""
    path = BUILD / _digest_of_sources() / (version or "own") / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as made:
            build(Path(made) / name, version)
            (Path(made) / name).rename(path)
        _remove_old()
    return path


def _remove_old() -> None:
    """Remove what was built from earlier sources, and no test uses any more."""
    states = sorted(BUILD.glob("*/own"), key=lambda each: each.stat().st_mtime)
    for each in states[:-KEPT]:
        shutil.rmtree(each.parent, ignore_errors=True)


@functools.cache
def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for source in _SOURCES:
        # What is below the link in the package stands in the list itself.
        for directory, inside, names in os.walk(ROOT / source):
            inside[:] = sorted(each for each in inside if each != "__pycache__")
            for name in sorted(names):
                path = Path(directory, name)
                digest.update(f"{path.relative_to(ROOT)}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _build_wheel(path: Path, version: str) -> None:
    if version:
        path.write_bytes(
            archives.zipped(numbered(archives.unzipped(wheel_of()), version), AT)
        )
    else:
        package_of = ROOT / "packages" / "gapless"
        python_packages.build(package_of, path.parent, AT, ["wheel"])


def _build_one_file(path: Path, version: str) -> None:
    path.write_bytes(one_file.make(program.tree(wheel_of(version), wheels()), AT))
    path.chmod(0o755)


def numbered(files: dict[str, File], version: str) -> dict[str, File]:
    """Return a program, or the files of a wheel, with another number."""
    own = program.version(files)
    found = {}
    for name, file in files.items():
        content = file.content
        if name == "gapless/__init__.py":
            content = _replaced(content, f'__version__ = "{own}"', own, version)
        elif name == f"gapless-{own}.dist-info/METADATA":
            content = _replaced(content, f"\nVersion: {own}\n", own, version)
        renamed = name.replace(
            f"gapless-{own}.dist-info", f"gapless-{version}.dist-info"
        )
        found[renamed] = File(content=content, is_program=file.is_program)
    record = f"gapless-{version}.dist-info/RECORD"
    listed = [
        each
        for each in found
        if each.startswith(("gapless/", f"gapless-{version}.")) and each != record
    ]
    lines = [f"{each},{_digest(found[each].content)}" for each in sorted(listed)]
    found[record] = File(content="\n".join([*lines, f"{record},,", ""]).encode())
    return found


def _replaced(content: bytes, text: str, old: str, new: str) -> bytes:
    assert text.encode() in content
    return content.replace(text.encode(), text.replace(old, new).encode(), 1)


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return f"sha256={digest.decode().rstrip('=')},{len(content)}"
