"""What a publisher demands of the copy of a tarball, before anything opens it.

Whoever has uploaded it has no access to the copy: what is checked is what is unpacked.
"""

from __future__ import annotations

from dataclasses import dataclass

from gapless.releases.inbox.opened import IncompleteError
from gapless.releases.model import ReleaseSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A tarball in the work directory, which only the publisher can write to."""

    path: str
    sha256: str
    name: str
    """The name of what it was copied from."""
    checksum: tuple[str, str] | None = None
    """The name of the checksum file of an upload, and what is in it; None: it has none."""


def admit(spec: ReleaseSpec, copy: Copy) -> None:
    """Check a copy that is to become a release of the app in *spec*.

    Raises IncompleteError if it is not what its uploader wanted to upload; it may be soon.
    """
    if copy.checksum is not None and copy.checksum[1] != copy.sha256:
        raise IncompleteError(
            f"{spec.app}: {copy.name} does not match {copy.checksum[0]}",
            hint="its upload is not complete, or the checksum is of another file",
        )
