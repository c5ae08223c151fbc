"""Make everything that is released: `make dist`, into dist/."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from distribution import (
    archives,
    bill,
    libraries,
    npm_packages,
    one_file,
    program,
    python_packages,
)
from distribution.debian import package

ONE_FILE = "gapless.pyz"
SUMS = "SHA256SUMS"


def main() -> int:
    """Make what the arguments say."""
    parser = argparse.ArgumentParser(prog="make dist", description=__doc__)
    parser.add_argument("--to", type=Path, default=archives.ROOT / "dist")
    to = parser.parse_args().to
    if shutil.which("dpkg-deb") is None:
        sys.exit("dpkg-deb is missing, which makes the Debian package: install dpkg")
    with tempfile.TemporaryDirectory(prefix="gapless-dist-") as made:
        names = everything(Path(made), archives.epoch())
        to.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(Path(made) / name, to / name)
            (to / name).chmod(0o755 if name == ONE_FILE else 0o644)
    for old in set(to.iterdir()) - {to / name for name in names}:
        print(f"of another build, left there: {old}")
    print((to / SUMS).read_text(), end="")
    return 0


def everything(to: Path, at: int) -> list[str]:
    """Make everything in an empty directory; return the names of the files."""
    wheels = libraries.wheels()
    for path in sorted(python_packages.PACKAGES.glob("*/pyproject.toml")):
        python_packages.build(path.parent, to, at)
    for path in sorted(npm_packages.PACKAGES.glob("*/package.json")):
        npm_packages.build(path.parent, to, at)
    (gapless,) = to.glob("gapless-[0-9]*.whl")
    files = program.tree(gapless, wheels)
    (to / ONE_FILE).write_bytes(one_file.make(files, at))
    for machine in libraries.MACHINES:
        if machine.libc == "gnu":
            package.build(files, machine, to, at)
    version = program.version(files)
    made = sorted(to.iterdir())
    bill_path = to / f"gapless-{version}.cdx.json"
    bill_path.write_bytes(bill.make(made, wheels, version, at))
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted([*made, bill_path])
    ]
    (to / SUMS).write_text("".join(lines))
    return sorted(path.name for path in to.iterdir())


if __name__ == "__main__":
    sys.exit(main())
