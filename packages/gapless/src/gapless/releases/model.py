"""Releases as plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gapless.base.names import STAMP_DIGITS, ReleaseName

STAMP_FORMAT = "%Y%m%d%H%M%S"
RELEASE_FILE = "RELEASE"
"""In each release: when it was made, or when it became current."""

Progress = Callable[[str, str], None]
"""Is called with the name and detail of a step: when it is done, or a long one begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Commands that run once per release, in its directory."""

    before_flip: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    """Only in a fleet: runs when a rollout was held or reverted."""
    timeout_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a tarball may hold, and what its unpacking may take."""

    max_unpacked_bytes: int = 2048 << 20
    max_files: int = 200_000
    max_upload_bytes: int = 2048 << 20
    """What the tarball itself may have."""
    """And folders."""
    max_depth: int = 100
    """Of names on the way to a file."""
    max_memory_bytes: int = 512 << 20
    timeout_s: float = 600.0
    """Of the clock, and of the processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSpec:
    """How tarballs of one app become releases."""

    app: str
    base: str
    """The directory that all hosts mount, with src/ and dist/ in it."""
    build: tuple[tuple[str, ...], ...] | None = None
    """Commands, in order; None: the files of the release decide."""
    build_timeout_s: float = 600.0
    build_user: str = ""
    """Name or number of the user that builds and hooks run as; empty: the publisher's."""
    build_environment: dict[str, str | None] = field(default_factory=dict)
    """What builds and hooks get besides the least; None: what the publisher has."""
    build_scripts: bool = True
    """Whether scripts of dependencies run when these are installed."""
    shared: tuple[str, ...] = ()
    keep: int = 5
    hooks: Hooks = field(default_factory=Hooks)
    limits: Limits = field(default_factory=Limits)
    environment: dict[str, str] = field(default_factory=dict)
    push: str = ""
    """Where `gapless push` uploads to."""
    signers: str = ""
    """The file of who may sign uploads; empty: an upload needs no signature."""
    signing_key: str = ""
    """The key with which the publisher signs rollouts; empty: it signs none."""
    inherited_fds: tuple[int, ...] = ()
    """Descriptors that commands inherit: the publisher's lock holds until they end."""

    @property
    def inbox(self) -> str:
        """The directory in which tarballs arrive: others may write it."""
        return f"{self.base}/src"

    @property
    def refused(self) -> str:
        """The directory of the refused uploads, which only the publisher writes."""
        return f"{self.base}/refused/{self.app}"

    @property
    def dist(self) -> str:
        """The directory that holds the releases."""
        return f"{self.base}/dist"

    @property
    def link(self) -> str:
        """The symlink that names the current release."""
        return f"{self.base}/dist/{self.app}"

    @property
    def work(self) -> str:
        """The directory in which a release is made, on the file system of `dist`."""
        return f"{self.base}/dist/.gapless-{self.app}"

    @property
    def reports(self) -> str:
        """The directory for reports; a release itself never changes."""
        return f"{self.base}/reports/{self.app}"

    def directory(self, stamp: str) -> str:
        """Return the directory of the release with a timestamp."""
        return self.path_of(f"{self.app}-{stamp}")

    def path_of(self, name: str) -> str:
        """Return the directory of a release.

        Raises ValueError if that is no name of a release of this app: it would lead
        elsewhere.
        """
        return f"{self.dist}/{ReleaseName.of(self.app, name)}"

    def reports_of(self, name: str) -> str:
        """Return the directory of the reports on a release.  Raises ValueError."""
        return f"{self.reports}/{ReleaseName.of(self.app, name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One immutable directory made from one tarball."""

    app: str
    stamp: str
    """Local time, YYYYmmddHHMMSS."""
    path: str
    is_current: bool = False
    failure: str = ""
    is_proven: bool = True
    """False from its placing until it serves: its publisher may have died."""

    @property
    def name(self) -> str:
        """The name of its directory."""
        return f"{self.app}-{self.stamp}"

    @property
    def is_good(self) -> bool:
        """Whether it has served, and may serve again."""
        return self.is_proven and not self.failure


def stamp_of(app: str, name: str) -> str | None:
    """Return the timestamp in the name of a release's directory, or None."""
    try:
        return ReleaseName.of(app, name).stamp
    except ValueError:
        return None


def next_stamp(now: str, taken: tuple[str, ...]) -> str:
    """Return *now*, or the least timestamp after all that are *taken*.

    A clock that was set back must not make a release that looks older than the last.
    The number may then be no time of day: only its order counts.
    """
    latest = max(taken, default="")
    return now if now > latest else f"{int(latest) + 1:0{STAMP_DIGITS}d}"
