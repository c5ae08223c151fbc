"""Other versions of gapless, as programs of their own: copies of this one, changed.

A test says what is different in each: the version, and what an earlier one does not know
or a later one writes.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import gapless

PACKAGE = Path(gapless.__file__).parent
Change = tuple[str, str, str]
"""A file of the package, a text in it, and what stands there in that version."""

WITHOUT_UPGRADE: tuple[Change, ...] = (
    ("supervisor/control/dispatch.py", '"follow" | "upgrade"', '"follow"'),
    (
        "supervisor/control/dispatch.py",
        '            "started_by":',
        '            "by":',
    ),
    ("keeper/keeper.py", '            "version": gapless.__version__,\n', ""),
    ("supervisor/control/dispatch.py", "            **self._about(),\n", ""),
    ("keeper/keeper.py", 'case "renew":', 'case "renew-later":'),
)
"""The versions before `gapless upgrade`: neither process can replace itself."""
WRITES_MORE: tuple[Change, ...] = (
    (
        "supervisor/memory/notes.py",
        '{"version": VERSION, **',
        '{"version": 1, "later": [1], **',
    ),
    ("supervisor/memory/state.py", '"apps": None}', '"apps": None, "later": [1]}'),
)
"""A later version whose files have fields that this one does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version in a directory of its own."""

    directory: Path
    """In which its package is."""
    program: Path
    """Its command `gapless`."""

    @property
    def package(self) -> Path:
        """The directory of its package."""
        return self.directory / "gapless"


def make(directory: Path, version: str, *changes: Change) -> Version:
    """Make a version.  Raises AssertionError for a change that is none."""
    package = directory / "gapless"
    directory.mkdir()
    shutil.copytree(PACKAGE, package)
    own = f'__version__ = "{gapless.__version__}"'
    for file, text, other in (
        ("__init__.py", own, f'__version__ = "{version}"'),
        *changes,
    ):
        path = package / file
        content = path.read_text()
        assert text in content, f"{file} has no {text}"
        path.write_text(content.replace(text, other))
    program = directory / "gapless-command"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(directory)!r})\n"
        "from gapless.__main__ import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    return Version(directory=directory, program=program)
