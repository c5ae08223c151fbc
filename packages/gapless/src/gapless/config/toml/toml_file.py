"""A gapless.toml as a file that declares apps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gapless.base import paths
from gapless.config.choice import Choice
from gapless.config.configuration import Configuration
from gapless.config.toml import tables


class TomlFile:
    """A gapless.toml; it is read anew by every call."""

    def __init__(self, path: str, redirect: Callable[[str], str]) -> None:
        self._path, self._redirect = path, redirect
        self.file = paths.absolute(path)

    def labels(self) -> list[str]:
        """Return the labels of the apps in the file, without checking the rest."""
        return tables.labels(self._redirect(self.file))

    def load(self, choice: Choice) -> Configuration:
        """Return the specs of the apps that are chosen."""
        loaded = tables.load(self._path, choice.environment, redirect=self._redirect)
        if not choice.only:
            return loaded
        choice.check_labels(self._path, loaded.apps)
        return replace(loaded, apps={name: loaded.apps[name] for name in choice.only})
