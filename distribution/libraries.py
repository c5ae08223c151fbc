"""The libraries that gapless needs, as the lock file has them: fetched by pip, checked.

msgspec is compiled, for one Python and one kind of machine each.  Its Python files are the
same everywhere, and the names of what is compiled differ, so one directory holds them all
and each Python imports its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from distribution.archives import ROOT

LOCK = ROOT / "requirements" / "dev.lock"
FETCHED = ROOT / "build" / "libraries"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
COMPILED = "msgspec"
_DOWNLOAD_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A kind of machine, and the C library on it."""

    architecture: str
    libc: str

    @property
    def platforms(self) -> tuple[str, ...]:
        """Return what pip calls it: the oldest that wheels of the lock file are for."""
        kinds = {"gnu": ("manylinux2014", "manylinux_2_28"), "musl": ("musllinux_1_2",)}
        return tuple(f"{kind}_{self.architecture}" for kind in kinds[self.libc])

    @property
    def ending(self) -> str:
        """Return how the names of its compiled modules end."""
        return f"-{self.architecture}-linux-{self.libc}.so"


MACHINES = tuple(
    Machine(architecture=architecture, libc=libc)
    for architecture in ("x86_64", "aarch64")
    for libc in ("gnu", "musl")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library of the lock file."""

    name: str
    version: str
    digests: frozenset[str]
    """SHA-256 of each of its files, in hex."""
    locked: str
    """Its lines of the lock file."""


def this_machine() -> tuple[str, Machine]:
    """Return the version of this Python and the machine that it runs on."""
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return version, next(each for each in MACHINES if suffix.endswith(each.ending))


def needed() -> list[Library]:
    """Return the libraries that `gapless` names, in the versions that are locked."""
    project = ROOT / "packages" / "gapless" / "pyproject.toml"
    named = tomllib.loads(project.read_text())["project"]["dependencies"]
    names = {normal(re.split(r"[<>=!~ ]", each)[0]) for each in named}
    found = [each for each in locked() if each.name in names]
    missing = names - {each.name for each in found}
    assert not missing, f"{LOCK.name} has no {sorted(missing)}"
    return found


def locked() -> list[Library]:
    """Return every library of the lock file."""
    found = []
    for block in re.split(r"\n(?=\S)", LOCK.read_text()):
        match = re.match(r"([A-Za-z0-9._-]+)==(\S+)", block)
        if match:
            digests = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
            name, version = match.groups()
            found.append(
                Library(
                    name=normal(name), version=version, digests=digests, locked=block
                )
            )
    return found


def normal(name: str) -> str:
    """Return a name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wheels(
    pythons: Sequence[str] = PYTHONS, machines: Sequence[Machine] = MACHINES
) -> list[Path]:
    """Return the wheels of what is needed for each Python and machine.

    What was fetched before is not fetched again.  Raises AssertionError for a file that is
    not of the lock file, and CalledProcessError.
    """
    libraries = needed()
    plain = [each for each in libraries if each.name != COMPILED]
    compiled = [each for each in libraries if each.name == COMPILED]
    first = pythons[0], machines[0]
    wanted = [("plain", plain, *first)]
    wanted += [
        (f"{python}-{each.architecture}-{each.libc}", compiled, python, each)
        for python in pythons
        for each in machines
    ]
    with ThreadPoolExecutor(4) as pool:
        fetched = list(pool.map(lambda each: _fetch(*each), wanted))
    return sorted({path for paths in fetched for path in paths})


def _fetch(
    kind: str, libraries: Sequence[Library], python: str, machine: Machine
) -> list[Path]:
    text = "\n".join(each.locked for each in libraries)
    name = f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    directory = FETCHED / name
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            _download(directory, text, python, machine)
    found = sorted(directory.glob("*.whl"))
    digests = {digest for each in libraries for digest in each.digests}
    for path in found:
        own = hashlib.sha256(path.read_bytes()).hexdigest()
        assert own in digests, f"{path} is not a file of {LOCK.name}"
    assert len(found) == len(libraries), f"{directory} has {found}"
    return found


def _download(directory: Path, text: str, python: str, machine: Machine) -> None:
    wanted = directory / "wanted"
    wanted.write_text(text)
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
        *("--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"),
        *("--python-version", python, "--dest", str(directory)),
        *(f"--platform={each}" for each in machine.platforms),
        *("-r", str(wanted)),
    ]
    subprocess.run(command, check=True, timeout=_DOWNLOAD_S, capture_output=True)
    (directory / "complete").touch()
