"""Releases as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

STAMP_DIGITS = 14
STAMP_FORMAT = "%Y%m%d%H%M%S"
RELEASE_FILE = "RELEASE"
"""In each release: when it was made, or when it became current."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Commands that run once per release, in its directory."""

    before_flip: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    """Of a fleet: when a rollout was held or turned back."""
    timeout_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a tarball may hold."""

    max_unpacked_bytes: int = 2048 << 20
    max_files: int = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSpec:
    """How tarballs of one app become releases."""

    app: str
    base: str
    """The directory that all servers mount: src/ and dist/ are below it."""
    build: tuple[tuple[str, ...], ...] | None = None
    """Commands, in order; None chooses them by what the release holds."""
    build_timeout_s: float = 600.0
    shared: tuple[str, ...] = ()
    keep: int = 5
    hooks: Hooks = field(default_factory=Hooks)
    limits: Limits = field(default_factory=Limits)
    environment: dict[str, str] = field(default_factory=dict)
    push: str = ""
    """Where `gapless push` uploads to, from elsewhere."""
    held: tuple[int, ...] = ()
    """Descriptors that commands inherit: the publisher's lock holds until they end."""

    @property
    def inbox(self) -> str:
        """Where tarballs are uploaded to."""
        return f"{self.base}/src"

    @property
    def dist(self) -> str:
        """Where releases are."""
        return f"{self.base}/dist"

    @property
    def link(self) -> str:
        """The symlink that names the current release."""
        return f"{self.base}/dist/{self.app}"

    @property
    def work(self) -> str:
        """Where a release is made, on the file system where it will be."""
        return f"{self.base}/dist/.gapless-{self.app}"

    @property
    def reports(self) -> str:
        """What is told of releases, beside them, since they never change."""
        return f"{self.base}/reports/{self.app}"

    def directory(self, stamp: str) -> str:
        """Return where the release of a timestamp is."""
        return f"{self.dist}/{self.app}-{stamp}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One immutable directory made from one tarball."""

    app: str
    stamp: str
    """Local time, YYYYmmddHHMMSS."""
    path: str
    is_current: bool = False
    failure: str = ""

    @property
    def name(self) -> str:
        """The name of its directory."""
        return f"{self.app}-{self.stamp}"


def stamp_of(app: str, name: str) -> str | None:
    """Return the timestamp in the name of a release's directory, or None."""
    prefix, stamp = name[: len(app) + 1], name[len(app) + 1 :]
    right = prefix == f"{app}-" and len(stamp) == STAMP_DIGITS and stamp.isascii()
    return stamp if right and stamp.isdigit() else None


def next_stamp(now: str, taken: tuple[str, ...]) -> str:
    """Return *now*, or the least timestamp after all that are *taken*.

    A clock that was set back must not make a release that looks older than the last.
    The number may then be no time of day: only its order counts.
    """
    latest = max(taken, default="")
    return now if now > latest else f"{int(latest) + 1:0{STAMP_DIGITS}d}"
