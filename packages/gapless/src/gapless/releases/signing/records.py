"""Who signed the upload of each release: a file beside its reports.

It is written before the release gets its place.  A release that never got it loses the file
with its reports, so that its upload, put back in the inbox, is taken again.
"""

from __future__ import annotations

from dataclasses import dataclass

from gapless.base import codec, files
from gapless.base.errors import UnavailableError
from gapless.releases import current
from gapless.releases.model import ReleaseSpec

FILE = "signed.json"
_LATEST = "latest-signed.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signed upload."""

    by: str
    key: str = ""
    sha256: str = ""
    signed_ns: int = 0


def write(spec: ReleaseSpec, release: str, signed: Signed) -> None:
    """Write who signed the upload of a release.  Raises OSError."""
    folder = spec.reports_of(release)
    files.make_directories(folder, files.SHARED_DIRECTORY)
    files.write_json(f"{folder}/{FILE}", codec.encode(signed), files.GROUP_FILE)


def of(spec: ReleaseSpec, release: str) -> Signed | None:
    """Return who signed the upload of a release; None if nobody did, or it is not known."""
    try:
        return _read(f"{spec.reports_of(release)}/{FILE}")
    except (OSError, ValueError):
        return None


def signer_of(spec: ReleaseSpec, release: str) -> str:
    """Return the name of who signed the upload of a release, or nothing."""
    signed = of(spec, release)
    return signed.by if signed else ""


def latest_ns(spec: ReleaseSpec) -> int:
    """Return when the last signed upload that became a release was signed; 0: none did.

    It outlives the releases.  Raises UnavailableError if that cannot be known.
    """
    path = f"{spec.reports}/{_LATEST}"
    try:
        kept = _read(path)
        found = [kept.signed_ns] if kept else []
        for release in current.releases(spec):
            signed = _read(f"{spec.reports_of(release.name)}/{FILE}")
            found += [signed.signed_ns] if signed else []
        latest = max(found, default=0)
        if latest > (kept.signed_ns if kept else 0):
            files.make_directories(spec.reports, files.SHARED_DIRECTORY)
            newest = Signed(by="", signed_ns=latest)
            files.write_json(path, codec.encode(newest), files.GROUP_FILE)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"{spec.app}: when the last upload was signed is not known: {error}",
            hint=f"mend what is in {spec.reports}: by it old uploads are told from new",
        ) from error
    return latest


def _read(path: str) -> Signed | None:
    """Return a record, None if there is none.  Raises OSError, ValueError."""
    plain = files.read_json(path)
    if plain is None:
        return None
    codec.check_plain(plain, path)
    return codec.decode(Signed, plain, path)
