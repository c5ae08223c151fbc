"""Files that declare apps: a gapless.toml, or a file written for PM2.

What reads a kind of file is imported when such a file is read: the parsers are slow to
load, and most commands read no file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gapless.config.choice import Choice
from gapless.config.configuration import Configuration
from gapless.config.file_kinds import TOML


class DeclarationFile(Protocol):
    """A file that declares apps."""

    @property
    def file(self) -> str:
        """Its absolute path; empty for standard input."""

    def labels(self) -> list[str]:
        """Return the labels of the apps in the file, without checking the rest.

        Raises MisuseError, NotFoundError.
        """

    def load(self, choice: Choice) -> Configuration:
        """Return the specs of the apps that are chosen.

        Raises MisuseError that names every mistake, NotFoundError for a label, a
        directory or a program that does not exist.
        """


def declaration_file(
    path: str, redirect: Callable[[str], str] = str
) -> DeclarationFile:
    """Return the file at *path*, whose kind its name says.

    *redirect* may return another path for the file and for the apps' directories.

    A PM2 file is read at once and only once, since Node may have to run it.  Raises
    MisuseError, NotFoundError.
    """
    if path.endswith(TOML):
        from gapless.config.toml.toml_file import TomlFile  # noqa: PLC0415 - see above

        return TomlFile(path, redirect)
    from gapless.config.pm2.pm2_file import Pm2File  # noqa: PLC0415 - see above

    return Pm2File(path, redirect)
