"""The wheels and source packages of gapless and its drain library, built by hatchling."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from distribution.archives import ROOT

PACKAGES = ROOT / "packages"
KINDS = ("wheel", "sdist")
_BUILD_S = 120
_UMASK = 0o022
"""The modes of files must not depend on who builds."""


def build(package: Path, to: Path, at: int, kinds: Sequence[str] = KINDS) -> list[Path]:
    """Build a package into a directory; return the files.  Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="gapless-dist-") as made:
        # Without what a checkout has beside it (.gitignore, what Python has compiled).
        source = Path(made) / package.name
        shutil.copytree(package, source, ignore=shutil.ignore_patterns("__pycache__"))
        for path in [source, *source.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        out = Path(made) / "out"
        subprocess.run(
            [
                *(sys.executable, "-m", "hatchling", "build", "-d", str(out)),
                *(word for kind in kinds for word in ("-t", kind)),
            ],
            cwd=source,
            env=os.environ | {"SOURCE_DATE_EPOCH": str(at), "LC_ALL": "C.UTF-8"},
            umask=_UMASK,
            check=True,
            timeout=_BUILD_S,
            capture_output=True,
        )
        return [
            Path(shutil.move(path, to / path.name)) for path in sorted(out.iterdir())
        ]
