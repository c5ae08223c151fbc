"""Read any configuration: a gapless.toml, or what was written for PM2."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gapless.base import home
from gapless.base.errors import GaplessError, MisuseError, NotFoundError
from gapless.config import document, resolve
from gapless.config.resolve import Configuration
from gapless.supervisor.memory import spec

_LOGS = (
    "out_file",
    "error_file",
    "log_file",
    "merge_logs",
    "log_date_format",
    "time",
    "log_type",
    "disable_logs",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line adds to a file."""

    profile: str = ""
    """--env: which env_NAME of a PM2 declaration is laid over its env."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a PM2 declaration that stand above those of the file."""
    started_in: str = ""
    """Where the command was typed; empty means here."""
    only: Collection[str] = ()
    """The apps that are wanted, as the file calls them; none means all."""


def is_configuration(target: str) -> bool:
    """Tell whether a target is a file that declares apps."""
    from gapless.config.pm2 import files  # noqa: PLC0415 - the parsers are slow to load

    return target.endswith(".toml") or files.is_declaration(target)


class Source:
    """A file that declares apps, read once: a program may have to run for it."""

    def __init__(self, path: str, redirect: Callable[[str], str] = str) -> None:
        """Read it; *redirect* may put other paths in the place of it and of directories.

        Raises MisuseError, NotFoundError.
        """
        self.path, self._redirect = path, redirect
        self._found: Any = None
        if self.is_ours:
            self.file = home.absolute(path)
        else:
            from gapless.config.pm2 import files  # noqa: PLC0415 - slow

            is_stream = path == files.STDIN
            self.file = "" if is_stream else home.absolute(path)
            place = redirect(self.file) if self.file else path
            self._found = files.read(place, shown=self.shown)

    @property
    def is_ours(self) -> bool:
        """Whether it is a gapless.toml."""
        return self.path.endswith(".toml")

    @property
    def shown(self) -> str:
        """What complaints call it."""
        return "standard input" if self.path == "-" else self.path

    def labels(self) -> list[str]:
        """Return what it calls its apps; they need not be right otherwise."""
        if self.is_ours:
            place = self._redirect(self.file)
            found = document.read(Path(place)).tables.get("app", {})
            return list(found) if isinstance(found, dict) else []
        from gapless.config.pm2 import declaration  # noqa: PLC0415 - slow

        return declaration.labels(self._found, self.shown)

    def load(
        self, environment: Mapping[str, str], options: Options | None = None
    ) -> Configuration:
        """Return its apps; *environment* is what they inherit.

        Raises MisuseError that names every mistake, NotFoundError for what is not there.
        """
        options = options or Options()
        if not self.is_ours:
            return self._declarations(environment, options)
        loaded = resolve.load(self.path, environment, redirect=self._redirect)
        if not options.only:
            return loaded
        missing = [name for name in options.only if name not in loaded.apps]
        if missing:
            raise self._declares_none(missing[0], loaded.apps)
        return replace(loaded, apps={name: loaded.apps[name] for name in options.only})

    def _declarations(
        self, environment: Mapping[str, str], options: Options
    ) -> Configuration:
        from gapless.config.pm2 import declaration, specs  # noqa: PLC0415 - slow

        declared, warnings = declaration.read_all(
            self._found, self.shown, options.overrides
        )
        known = [each.label for each in declared]
        if missing := [label for label in options.only if label not in known]:
            raise self._declares_none(missing[0], known)
        setting = specs.Setting(
            environment=environment,
            started_in=options.started_in or home.here(),
            file=self.file,
            profile=options.profile,
            redirect=self._redirect,
        )
        apps: dict[str, spec.AppSpec] = {}
        mistakes: list[GaplessError] = []
        for each in declared:
            if options.only and each.label not in options.only:
                continue
            try:
                built = specs.build(each, setting)
            except GaplessError as error:
                mistakes.append(error)
                continue
            if built.name in apps:
                clash = f"two apps would be called {built.name}"
                mistakes.append(MisuseError(each.complaint("name", clash)))
            arguments = specs.as_json(options.overrides)
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


def of_script(
    declared: Mapping[str, Any], environment: Mapping[str, str], *, like_pm2: bool
) -> Configuration:
    """Return the app that a command line describes, in PM2's fields.

    What it does not say is as PM2 has it, or else as a gapless.toml.  Raises
    MisuseError, NotFoundError.
    """
    from gapless.config.pm2 import declaration, specs  # noqa: PLC0415 - slow

    found, warnings = declaration.read_all(dict(declared), "command line", {})
    setting = specs.Setting(
        environment=environment,
        started_in=home.here(),
    )
    built = specs.build(found[0], setting)
    if not like_pm2:
        built = _by_our_defaults(built, found[0].fields)
    return Configuration("", {built.name: built}, {}, (*warnings, *found[0].warnings))


def _by_our_defaults(built: spec.AppSpec, said: Collection[str]) -> spec.AppSpec:
    """Return a spec in which what was not said is as in a gapless.toml."""
    ours = spec.AppSpec(name=built.name, command=built.command, directory="/")
    stop = replace(built.stop, signal=ours.stop.signal)
    if "kill_timeout" not in said:
        stop = replace(stop, kill_timeout_s=ours.stop.kill_timeout_s)
    restart = built.restart
    if "max_restarts" not in said and not restart.backoff_s:
        restart = replace(restart, max=ours.restart.max)
    return replace(
        built,
        announce=False,
        pid_file=built.pid_file if "pid_file" in said else "",
        log=built.log if any(name in said for name in _LOGS) else ours.log,
        stop=stop,
        restart=restart,
    )
