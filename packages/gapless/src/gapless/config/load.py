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
from gapless.supervisor import spec

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


def load(
    path: str,
    environment: Mapping[str, str],
    *,
    options: Options | None = None,
    redirect: Callable[[str], str] = str,
) -> Configuration:
    """Read a file; *environment* is what the apps inherit.

    *redirect* may put another path in the place of the file and of the directories.

    Raises MisuseError that names every mistake, NotFoundError for what is not there.
    """
    options = options or Options()
    if path.endswith(".toml"):
        loaded = resolve.load(path, environment, redirect=redirect)
        return _chosen(loaded, options.only)
    return _declarations(path, environment, options, redirect)


def _chosen(loaded: Configuration, only: Collection[str]) -> Configuration:
    if not only:
        return loaded
    missing = [name for name in only if name not in loaded.apps]
    if missing:
        raise _declares_none(loaded.path, missing[0], loaded.apps)
    return replace(loaded, apps={name: loaded.apps[name] for name in only})


def _declarations(
    path: str,
    environment: Mapping[str, str],
    options: Options,
    redirect: Callable[[str], str],
) -> Configuration:
    from gapless.config.pm2 import declaration, files, specs  # noqa: PLC0415 - slow

    is_stream = path == files.STDIN
    file = "" if is_stream else home.absolute(path)
    found = files.read(redirect(file) if file else path, shown=path)
    shown = "standard input" if is_stream else path
    declared, warnings = declaration.read_all(found, shown, options.overrides)
    known = {each.label: each for each in declared}
    if missing := [label for label in options.only if label not in known]:
        raise _declares_none(shown, missing[0], known)
    setting = specs.Setting(
        environment=environment,
        started_in=options.started_in or home.here(),
        file=file,
        profile=options.profile,
        redirect=redirect,
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
            clash = each.complaint("name", f"two apps would be called {built.name}")
            mistakes.append(MisuseError(clash))
        apps[built.name] = replace(
            built,
            config_file=file,
            arguments=specs.as_json(options.overrides),
        )
        warnings += each.warnings
    if len(mistakes) == 1:
        raise mistakes[0]
    if mistakes:
        raise MisuseError("\n".join(error.message for error in mistakes))
    return Configuration(file or path, apps, {}, tuple(warnings))


def _declares_none(path: str, name: str, known: Collection[str]) -> NotFoundError:
    return NotFoundError(
        f"{path} declares no app named {name!r}",
        hint=f"it declares: {', '.join(known) or 'none'}",
    )


def labels(path: str) -> list[str]:
    """Return what a file calls its apps; they need not be right otherwise.

    Raises MisuseError, NotFoundError.
    """
    if path.endswith(".toml"):
        found = document.read(Path(path)).tables.get("app", {})
        return list(found) if isinstance(found, dict) else []
    from gapless.config.pm2 import declaration, files  # noqa: PLC0415 - slow

    return declaration.labels(files.read(path), path)


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
