"""Files that declare apps: a gapless.toml, or a file written for PM2."""

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
    """A file that declares apps; a PM2 file is read once, since Node may have to run it."""

    def __init__(self, path: str, redirect: Callable[[str], str] = str) -> None:
        """Read a PM2 file.  Raises MisuseError, NotFoundError.

        *redirect* may return another path for the file and for the apps' directories.
        """
        self.path, self._redirect = path, redirect
        self._parsed: Any = None
        if self.is_toml:
            self.file = paths.absolute(path)
        else:
            from gapless.config.pm2 import files  # noqa: PLC0415 - slow

            is_stream = path == files.STDIN
            self.file = "" if is_stream else paths.absolute(path)
            source = redirect(self.file) if self.file else path
            self._parsed = files.read(source, display_name=self.display_name)

    @property
    def is_toml(self) -> bool:
        """Whether the file is a gapless.toml."""
        return self.path.endswith(".toml")

    @property
    def display_name(self) -> str:
        """The name of the file in messages."""
        return "standard input" if self.path == "-" else self.path

    def labels(self) -> list[str]:
        """Return the labels of the apps in the file, without checking the rest."""
        if self.is_toml:
            return tables.labels(self._redirect(self.file))
        from gapless.config.pm2 import parse  # noqa: PLC0415 - slow

        return parse.labels(self._parsed, self.display_name)

    def load(self, choice: Choice) -> Configuration:
        """Return the specs of the apps that are chosen.

        Raises MisuseError that names every mistake, NotFoundError for a label, a
        directory or a program that does not exist.
        """
        if not self.is_toml:
            return self._load_declarations(choice)
        loaded = tables.load(self.path, choice.environment, redirect=self._redirect)
        if not choice.only:
            return loaded
        missing = [name for name in choice.only if name not in loaded.apps]
        if missing:
            raise self._not_declared(missing[0], loaded.apps)
        return replace(loaded, apps={name: loaded.apps[name] for name in choice.only})

    def _load_declarations(self, choice: Choice) -> Configuration:
        from gapless.config.pm2 import parse, specs  # noqa: PLC0415 - slow

        declared, warnings = parse.declarations(
            self._parsed, self.display_name, choice.overrides
        )
        known = [each.label for each in declared]
        if missing := [label for label in choice.only if label not in known]:
            raise self._not_declared(missing[0], known)
        started_in = choice.started_in or paths.working_directory()
        context = specs.Context(
            choice=replace(choice, started_in=started_in),
            file=self.file,
            redirect=self._redirect,
        )
        apps: dict[str, spec.AppSpec] = {}
        mistakes: list[GaplessError] = []
        for each in declared:
            if choice.only and each.label not in choice.only:
                continue
            try:
                built = specs.build(each, context)
            except GaplessError as error:
                mistakes.append(error)
                continue
            if built.name in apps:
                clash = f"two apps would be called {built.name}"
                mistakes.append(MisuseError(each.message_for("name", clash)))
            arguments = specs.as_json(choice.overrides)
            apps[built.name] = replace(
                built, config_file=self.file, arguments=arguments
            )
            warnings += each.warnings
        if len(mistakes) == 1:
            raise mistakes[0]
        if mistakes:
            raise MisuseError("\n".join(error.message for error in mistakes))
        return Configuration(
            path=self.file or self.path,
            apps=apps,
            releases={},
            warnings=tuple(warnings),
        )

    def _not_declared(self, name: str, known: Collection[str]) -> NotFoundError:
        return NotFoundError(
            f"{self.display_name} declares no app named {name!r}",
            hint=f"it declares: {', '.join(known) or 'none'}",
        )
