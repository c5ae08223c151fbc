"""The program as one directory: gapless, and the libraries that it needs.

The .pyz and the Debian package both hold it.  It is laid out as an install by pip, so
`gapless upgrade` compares it with the list that the wheel has (RECORD).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from distribution.archives import File, unzipped

_LICENSES = "/licenses/"


def tree(gapless: Path, libraries: Iterable[Path]) -> dict[str, File]:
    """Return the files of the wheel of gapless and of those of its libraries."""
    found = unzipped(gapless)
    for wheel in libraries:
        for name, file in unzipped(wheel).items():
            if _is_wanted(name) and found.setdefault(name, file) != file:
                raise AssertionError(f"{wheel} has another {name} than the others")
    return found


def _is_wanted(name: str) -> bool:
    """Return whether a program needs a file of a library, or its licence asks for it."""
    directory = name.partition("/")[0]
    if directory.endswith(".dist-info"):
        return _LICENSES in name or "LICENSE" in name
    return not name.endswith((".pyi", ".pth")) and not directory.endswith(".data")


def version(files: dict[str, File]) -> str:
    """Return the version of gapless that a tree holds."""
    (found,) = (
        name.split("/")[0].removeprefix("gapless-").removesuffix(".dist-info")
        for name in files
        if name.startswith("gapless-") and name.endswith(".dist-info/RECORD")
    )
    return found
