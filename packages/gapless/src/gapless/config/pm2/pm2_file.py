"""A file written for PM2 as a file that declares apps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from gapless.base import paths
from gapless.base.errors import GaplessError, MisuseError
from gapless.config import after
from gapless.config.choice import Choice
from gapless.config.configuration import Configuration
from gapless.config.file_kinds import STDIN
from gapless.config.pm2 import files, parse, specs
from gapless.config.pm2.declaration import Declaration
from gapless.config.pm2.gapless_field import labels_before
from gapless.supervisor.memory.spec import AppSpec


class Pm2File:
    """JSON, YAML or JavaScript for PM2, read once."""

    def __init__(self, path: str, redirect: Callable[[str], str]) -> None:
        is_stream = path == STDIN
        self._path, self._redirect = path, redirect
        self._display_name = "standard input" if is_stream else path
        self.file = "" if is_stream else paths.absolute(path)
        source = redirect(self.file) if self.file else path
        self._parsed = files.read(source, display_name=self._display_name)
        self.declared: dict[str, Declaration] = {}
        """What `load` has read, by labels."""

    def is_same_in(self, environment: Mapping[str, str]) -> bool:
        """Return whether the file declares the same where other variables are set."""
        try:
            return bool(self._parsed == files.read(self.file, environment=environment))
        except GaplessError:
            return False

    def labels(self) -> list[str]:
        """Return the labels of the apps in the file, without checking the rest."""
        return parse.labels(self._parsed, self._display_name)

    def load(self, choice: Choice) -> Configuration:
        """Return the specs of the apps that are chosen."""
        declared, warnings = parse.declarations(
            self._parsed, self._display_name, choice.overrides
        )
        self.declared = {each.label: each for each in declared}
        choice.check_labels(self._display_name, self.declared)
        context = specs.Context(
            choice=replace(
                choice, started_in=choice.started_in or paths.working_directory()
            ),
            file=self.file,
            redirect=self._redirect,
        )
        apps: dict[str, AppSpec] = {}
        mistakes: list[GaplessError] = _mistakes_of_order(declared)
        for each in declared:
            if choice.only and each.label not in choice.only:
                continue
            try:
                built = specs.build(each, context)
                built = replace(built, after=_names(built.after, declared, context))
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
            path=self.file or self._path,
            apps=apps,
            releases={},
            warnings=tuple(warnings),
        )


def _mistakes_of_order(declared: list[Declaration]) -> list[GaplessError]:
    by_label = {each.label: each for each in declared}
    found = after.mistakes({n: labels_before(each) for n, each in by_label.items()})
    return [
        MisuseError(by_label[label].message_for("gapless.after", problem))
        for label, problem in found
    ]


def _names(
    labels: tuple[str, ...], declared: list[Declaration], context: specs.Context
) -> tuple[str, ...]:
    """Return the names that apps have here, by their labels.  Raises MisuseError."""
    return tuple(
        specs.app_name(each, context) for each in declared if each.label in labels
    )
