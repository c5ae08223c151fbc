"""Files that declare apps: a gapless.toml, or what was written for PM2."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from gapless.base import paths
from gapless.base.errors import GaplessError, MisuseError, NotFoundError
from gapless.config.choice import Choice
from gapless.config.configuration import Configuration
from gapless.config.toml import tables
from gapless.supervisor.memory import spec


def is_configuration(target: str) -> bool:
    """Return whether a target is a file that declares apps."""
    from gapless.config.pm2 import files  # noqa: PLC0415 - the parsers are slow to load

    return target.endswith(".toml") or files.is_declaration(target)


class DeclarationFile:
    """A file that declares apps, read once: Node may have to run it."""

    def __init__(self, path: str, redirect: Callable[[str], str] = str) -> None:
        """Read it; *redirect* may replace its path, and those of directories.

        Raises MisuseError, NotFoundError.
        """
        self.path, self._redirect = path, redirect
        self._found: Any = None
        if self.is_ours:
            self.file = paths.absolute(path)
        else:
            from gapless.config.pm2 import files  # noqa: PLC0415 - slow

            is_stream = path == files.STDIN
            self.file = "" if is_stream else paths.absolute(path)
            place = redirect(self.file) if self.file else path
            self._found = files.read(place, shown=self.shown)

    @property
    def is_ours(self) -> bool:
        """Whether it is a gapless.toml."""
        return self.path.endswith(".toml")

    @property
    def shown(self) -> str:
        """What messages call it."""
        return "standard input" if self.path == "-" else self.path

    def labels(self) -> list[str]:
        """Return what it calls its apps; they need not be right otherwise."""
        if self.is_ours:
            return tables.labels(self._redirect(self.file))
        from gapless.config.pm2 import declaration  # noqa: PLC0415 - slow

        return declaration.labels(self._found, self.shown)

    def load(self, choice: Choice) -> Configuration:
        """Return its apps, as they are chosen.

        Raises MisuseError that names every mistake, NotFoundError for what does not exist.
        """
        if not self.is_ours:
            return self._load_declarations(choice)
        loaded = tables.load(self.path, choice.environment, redirect=self._redirect)
        if not choice.only:
            return loaded
        missing = [name for name in choice.only if name not in loaded.apps]
        if missing:
            raise self._declares_none(missing[0], loaded.apps)
        return replace(loaded, apps={name: loaded.apps[name] for name in choice.only})

    def _load_declarations(self, choice: Choice) -> Configuration:
        from gapless.config.pm2 import declaration, specs  # noqa: PLC0415 - slow

        declared, warnings = declaration.read_all(
            self._found, self.shown, choice.overrides
        )
        known = [each.label for each in declared]
        if missing := [label for label in choice.only if label not in known]:
            raise self._declares_none(missing[0], known)
        typed_in = choice.started_in or paths.working_directory()
        setting = specs.Setting(
            choice=replace(choice, started_in=typed_in),
            file=self.file,
            redirect=self._redirect,
        )
        apps: dict[str, spec.AppSpec] = {}
        mistakes: list[GaplessError] = []
        for each in declared:
            if choice.only and each.label not in choice.only:
                continue
            try:
                built = specs.build(each, setting)
            except GaplessError as error:
                mistakes.append(error)
                continue
            if built.name in apps:
                clash = f"two apps would be called {built.name}"
                mistakes.append(MisuseError(each.complaint("name", clash)))
            arguments = specs.as_json(choice.overrides)
            apps[built.name] = replace(
                built, config_file=self.file, arguments=arguments
            )
            warnings += each.warnings
        if len(mistakes) == 1:
            raise mistakes[0]
        if mistakes:
            raise MisuseError("\n".join(error.message for error in mistakes))
        return Configuration(self.file or self.path, apps, {}, tuple(warnings))

    def _declares_none(self, name: str, known: Collection[str]) -> NotFoundError:
        return NotFoundError(
            f"{self.shown} declares no app named {name!r}",
            hint=f"it declares: {', '.join(known) or 'none'}",
        )
