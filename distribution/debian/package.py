"""The Debian package: the program in /usr/lib/gapless, its command, a unit, pages for man.

It starts nothing.  Its scripts replace what runs from /usr/lib/gapless (`gapless upgrade`),
and refuse to remove it while apps run.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from distribution import program
from distribution.archives import File, Tree
from distribution.libraries import PYTHONS, Machine
from gapless.cli.shells import bash, fish
from gapless.cli.units import texts
from gapless.cli.verbs import catalogue
from gapless.cli.verbs.reference import man

HERE = Path(__file__).parent
PLACE = "usr/lib/gapless"
SCRIPTS = "usr/lib/gapless-package/supervisors.py"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Debian's names of machines."""
MAINTAINER_SCRIPTS = ("postinst", "prerm", "postrm")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMMAND = f"""\
#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/{PLACE}")
from gapless.__main__ import main

sys.exit(main())
"""
_CONTROL = """\
Package: gapless
Version: {version}
Architecture: {architecture}
Maintainer: The authors of gapless <gapless@localhost>
Installed-Size: {size}
Depends: python3 (>= {first}), python3 (<< {after})
Suggests: nodejs, nginx
Section: admin
Priority: optional
Description: release new versions of apps without losing a request
 gapless runs the apps of a team on its own servers, and hands each new version
 the connections of the one before: any program, unmodified.
 .
 Nothing is started by the installation. The unit gapless@USER.service starts
 the apps of a user at boot.
"""


def build(files: dict[str, File], machine: Machine, to: Path, at: int) -> Path:
    """Write the package of a program (`program.tree`) for a kind of machine.

    Raises CalledProcessError.
    """
    assert machine.libc == "gnu"
    version = debian_version(program.version(files))
    architecture = ARCHITECTURES[machine.architecture]
    inside = content(files, machine)
    path = to / f"gapless_{version}_{architecture}.deb"
    first, last = PYTHONS[0], PYTHONS[-1].split(".")
    size = sum(-(-len(file.content) // 1024) for file in inside.values())
    control = _CONTROL.format(
        version=version,
        architecture=architecture,
        size=size,
        first=first,
        after=f"{last[0]}.{int(last[1]) + 1}",
    )
    inside["DEBIAN/md5sums"] = File(content=_sums(inside))
    inside["DEBIAN/control"] = File(content=control.encode())
    for name in MAINTAINER_SCRIPTS:
        inside[f"DEBIAN/{name}"] = File(
            content=(HERE / name).read_bytes(), is_program=True
        )
    with tempfile.TemporaryDirectory(prefix="gapless-deb-") as made:
        root = Path(made) / "root"
        _write(root, inside, at)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root), "deb"],
            cwd=made,
            env=os.environ | {"SOURCE_DATE_EPOCH": str(at), "LC_ALL": "C.UTF-8"},
            check=True,
            capture_output=True,
        )
        shutil.move(Path(made) / "deb", path)
    path.chmod(0o644)
    return path


def content(files: Tree, machine: Machine) -> dict[str, File]:
    """Return what is installed, by its path below /."""
    found = {
        f"{PLACE}/{name}": file
        for name, file in files.items()
        if not name.endswith(".so") or name.endswith(machine.ending)
    }
    found["usr/bin/gapless"] = File(content=_COMMAND.encode(), is_program=True)
    found[SCRIPTS] = File(content=(HERE / "supervisors.py").read_bytes())
    found["usr/lib/systemd/system/gapless@.service"] = File(content=unit().encode())
    verbs = catalogue.verbs()
    for path, text in (
        ("bash-completion/completions/gapless", bash.script(verbs)),
        ("fish/vendor_completions.d/gapless.fish", fish.script(verbs)),
        *((f"man/man{name[-1]}/{name}", page) for name, page in man.pages()),
    ):
        found[f"usr/share/{path}"] = File(content=text.encode())
    found["usr/share/doc/gapless/copyright"] = File(content=_copyright(files))
    return found


def debian_version(version: str) -> str:
    """Return a version of Python's as Debian sorts it: 1.0rc1 is before 1.0."""
    return re.sub(r"\.?(a|b|rc|dev)(\d+)$", r"~\1\2", version)


def unit() -> str:
    """Return the unit of any user: that of `gapless startup`, with ~/.gapless as home."""
    of = texts.UnitOf(user="@", home="/@", path=_PATH, command="/usr/bin/gapless")
    lines = texts.supervisor(of).splitlines()
    lines.remove("Environment=GAPLESS_HOME=/@")
    text = "\n".join(lines) + "\n"
    return text.replace("User=@", "User=%i").replace("the apps of @", "the apps of %i")


def _copyright(files: Tree) -> bytes:
    """Return the licences of gapless and of each library."""
    parts = [b"gapless, and the libraries in /usr/lib/gapless.\n"]
    for name, file in sorted(files.items()):
        directory, _, rest = name.partition("/")
        if directory.endswith(".dist-info") and "LICENSE" in rest:
            title = directory.removesuffix(".dist-info")
            parts.append(f"\n---- {title} ----\n\n".encode() + file.content)
    return b"".join(parts)


def _sums(inside: Tree) -> bytes:
    """Return what `dpkg --verify` compares with."""
    return b"".join(
        f"{hashlib.md5(file.content, usedforsecurity=False).hexdigest()}  {name}\n".encode()
        for name, file in sorted(inside.items())
    )


def _write(root: Path, inside: Tree, at: int) -> None:
    for name, file in inside.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (at, at))
