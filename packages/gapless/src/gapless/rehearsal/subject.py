"""What is to be rehearsed: the current release of an app, and the candidate.

The candidate is a tarball, a directory, or an app that runs: then it is what a reload of it
would start.  Nothing is changed outside of the stage.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gapless.base import app_status, codec, files, paths
from gapless.base.errors import GaplessError, MisuseError, NotFoundError
from gapless.base.names import STAMP_DIGITS
from gapless.client import Client
from gapless.config import refresh
from gapless.config.choice import Choice, choice_of, inherited
from gapless.config.declarations import declaration_file
from gapless.config.file_kinds import is_configuration
from gapless.deploy import running_app
from gapless.rehearsal.model import COPY, Side, Subject
from gapless.rehearsal.stage import builds, shared_directories
from gapless.rehearsal.stage.stage import Stage
from gapless.releases import current, publisher_lock, reports
from gapless.releases.digests import sha256_of
from gapless.releases.model import Hooks, Progress, Release, ReleaseSpec
from gapless.supervisor.memory.spec import AppSpec

FILES = (
    "gapless.toml",
    *(f"ecosystem.config.{ending}" for ending in ("js", "cjs", "mjs")),
    *("ecosystem.json", "app.json"),
)
"""What may declare the apps of a directory, the first that is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the user has said of the subject."""

    target: str
    app: str = ""
    profile: str | None = None
    """--env, of a PM2 file."""
    config: str = "gapless.toml"
    """Where releases are declared."""
    shared: str = COPY
    writable: tuple[str, ...] = ()
    """What a build may write besides."""


def running(client: Client, app: str) -> dict[str, Any] | None:
    """Return the description of an app that runs here; nothing is started for it."""
    if not client.has_apps():
        return None
    rows = client.request("list", only="names")["apps"]
    if app not in [row["name"] for row in rows]:
        return None
    found: dict[str, Any] = client.request("describe", app=app)
    return found if app_status.is_in_service(found["status"]) else None


# --- an app, a directory --------------------------------------------------------------


def of_app(client: Client, app: str) -> Subject:
    """Return the subject of an app that runs here, and is to be reloaded.

    Raises GaplessError.
    """
    described = running(client, app)
    if described is None:
        raise NotFoundError(
            f"{app}: no app of this name runs here, and there is no such file",
            hint="gapless rehearse TARBALL, DIRECTORY or APP; `gapless list` has the apps",
        )
    before = _spec_of(described)
    candidate = refresh.refreshed(before)
    return Subject(
        app=app,
        target=app,
        current=_side(before),
        candidate=_side(candidate),
        addresses=tuple(described["addresses"]),
        keeps_at=_beside(candidate.directory),
    )


def of_directory(client: Client, words: Words) -> Subject:
    """Return the subject of a directory, or of a file that declares its app.

    Raises GaplessError.
    """
    directory = os.path.realpath(words.target)
    file = ""
    if os.path.isfile(directory):
        file, directory = paths.absolute(words.target), os.path.dirname(directory)
    else:
        names = [name for name in FILES if os.path.isfile(f"{directory}/{name}")]
        file = f"{directory}/{names[0]}" if names else ""
        if names and not declaration_file(file).labels() and len(names) > 1:
            file = f"{directory}/{names[1]}"  # the first one declares releases alone
    described = running(client, words.app) if words.app else None
    if file:
        candidate = _declared(client, file, words)
        described = described or running(client, candidate.name)
    elif described is not None:
        before = _spec_of(described)
        candidate = _elsewhere(before, before.directory, directory)
    else:
        raise NotFoundError(
            f"{words.target}: none of these is in it: {', '.join(FILES)}",
            hint="--app NAME names the app of this host whose candidate it is",
        )
    side = _side(candidate)
    if side.tree.startswith(f"{directory}/"):
        side = replace(side, tree=directory)
    notes: tuple[str, ...] = ()
    if described is None:
        now = side
        notes = (
            f"no {candidate.name} runs here: what is in {words.target} was handed over "
            "to itself",
        )
    else:
        now = _side(_spec_of(described))
    return Subject(
        app=candidate.name,
        target=words.target,
        current=now,
        candidate=side,
        addresses=tuple(described["addresses"]) if described else (),
        keeps_at=_beside(directory),
        notes=notes,
    )


def _declared(client: Client, file: str, words: Words) -> AppSpec:
    """Return the app that a file declares, as it would start, or be reloaded."""
    declared = declaration_file(file)
    labels = declared.labels()
    if not words.app and len(labels) != 1:
        raise MisuseError(
            f"{file} declares {len(labels)} apps: {', '.join(labels) or 'none'}",
            hint="--app NAME says which is rehearsed",
        )
    label = words.app or labels[0]
    described = running(client, label)
    choice = Choice(environment=inherited(os.environ), only=(label,))
    if described is not None:
        choice = replace(choice_of(_spec_of(described)), started_in="", only=(label,))
    if words.profile is not None:
        choice = replace(choice, profile=words.profile)
    return next(iter(declared.load(choice).apps.values()))


# --- a tarball ------------------------------------------------------------------------


def of_tarball(
    client: Client,
    words: Words,
    releases: ReleaseSpec,
    stage: Stage,
    progress: Progress,
) -> Subject:
    """Unpack and build a tarball on the stage, and return the subject.

    Its hooks do not run: a migration would change what really serves.  Raises GaplessError.
    """
    own = replace(
        releases,
        base=stage.place("base"),
        hooks=Hooks(),
        build_environment=builds.variables(stage, releases),
    )
    stage.let_in([own.build_user])
    files.make_directories(own.dist, files.SHARED_DIRECTORY)
    moved = shared_directories.prepare(releases, own, words.shared)
    with publisher_lock.hold(own, progress) as held:
        made, missing = builds.make(
            stage, held, words.target, writable=words.writable, progress=progress
        )
    described = running_app.describe(client, releases)
    candidate = _in_release(releases, made, words, described)
    notes = [*missing.notes]
    notes += [
        f"the hook {name} did not run"
        for name, hook in (
            ("before_flip", releases.hooks.before_flip),
            ("after", releases.hooks.after),
        )
        if hook
    ]
    if releases.shared:
        what = "copies of" if words.shared == COPY else "empty directories for"
        notes.append(f"both had {what} what is shared: {', '.join(releases.shared)}")
    now = current.current(releases)
    if described is not None:
        before = _spec_of(described)
        side = _side(before)
    elif now is not None:
        before = _in_release(releases, now, words, None)
        side = Side(spec=before, tree=now.path, release=now.name)
    else:
        side = Side(spec=candidate, tree=made.path, release=made.name)
        notes.append(f"{releases.app} has no release yet: it was handed over to itself")
    digest = sha256_of(os.path.realpath(words.target))
    return Subject(
        app=candidate.name,
        target=words.target,
        current=side,
        candidate=Side(spec=candidate, tree=made.path, release=made.name),
        paths=moved,
        addresses=tuple(described["addresses"]) if described else (),
        releases=releases,
        keeps_at=reports.rehearsal_of_tarball(releases, digest),
        notes=tuple(notes),
    )


def _in_release(
    releases: ReleaseSpec,
    release: Release,
    words: Words,
    described: dict[str, Any] | None,
) -> AppSpec:
    """Return the configuration of a release's app: of what runs, or what is declared."""
    inside = (releases, release)
    if described is not None:
        return refresh.refreshed(_spec_of(described), inside=inside)

    def redirect(path: str) -> str:
        return refresh.path_in_release(path, inside)

    choice = Choice(environment=inherited(os.environ), profile=words.profile or "")
    for file in (words.config, *(f"{release.path}/{name}" for name in FILES)):
        if not os.path.isfile(file):
            continue
        declared = declaration_file(file, redirect)
        if releases.app in declared.labels():
            chosen = replace(choice, only=(releases.app,))
            return next(iter(declared.load(chosen).apps.values()))
    raise NotFoundError(
        f"{releases.app}: neither {words.config} nor a file in the release declares it",
        hint=f"[app.{releases.app}] in {words.config}",
    )


# --- parts ----------------------------------------------------------------------------


def _spec_of(described: Mapping[str, Any]) -> AppSpec:
    return codec.decode(AppSpec, described["spec"])


def _side(spec: AppSpec) -> Side:
    tree = spec.directory
    if spec.release:  # the whole of it, where the app runs in a part
        while os.path.basename(tree) != spec.release and tree != "/":
            tree = os.path.dirname(tree)
    if tree in ("/", os.path.expanduser("~")):
        raise MisuseError(
            f"{spec.name} runs in {tree}, which is too much to copy for a rehearsal",
            hint="`directory` in its configuration says where it runs",
        )
    return Side(spec=spec, tree=tree, release=spec.release)


def _elsewhere(spec: AppSpec, old: str, new: str) -> AppSpec:
    """Return the configuration of an app with another directory in the place of its own."""

    def moved(text: str) -> str:
        below = text == old or text.startswith(f"{old}/")
        return new + text[len(old) :] if below else text

    return replace(
        spec,
        command=tuple(map(moved, spec.command)),
        directory=new,
        declared_directory=new,
        release="",
    )


def _beside(directory: str) -> str:
    """Return the file of a report beside a directory; of a release: with its reports."""
    name = os.path.basename(directory)
    base = os.path.dirname(os.path.dirname(directory))
    app = name[: -STAMP_DIGITS - 1]
    beside = f"{directory}.{reports.REHEARSAL_FILE}"
    try:
        folder = ReleaseSpec(app=app, base=base).reports_of(name)
    except ValueError:
        return beside
    return f"{folder}/{reports.REHEARSAL_FILE}" if os.path.isdir(folder) else beside


def find(
    client: Client,
    words: Words,
    *,
    of_release: Callable[[], Subject],
    is_tarball: bool,
) -> Subject:
    """Return the subject that a target names.  Raises GaplessError."""
    if is_tarball:
        return of_release()
    if os.path.isdir(words.target):
        return of_directory(client, words)
    if is_configuration(words.target) and os.path.isfile(words.target):
        return of_directory(client, words)
    return of_app(client, words.target)


def check(subject: Subject) -> None:
    """Raise GaplessError if an app cannot be rehearsed."""
    for side in (subject.current, subject.candidate):
        if not os.path.isdir(side.tree):
            raise GaplessError(f"{subject.app}: the directory {side.tree} is gone")
