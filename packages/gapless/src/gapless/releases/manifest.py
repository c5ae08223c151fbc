"""The manifest of a release: what its tarball was called, and the digests of its files."""

from __future__ import annotations

from gapless.base import files
from gapless.releases.model import Release, ReleaseSpec

FILE = "manifest.json"


def write(
    spec: ReleaseSpec, release: Release, digests: dict[str, str], upload: str
) -> None:
    """Write the manifest of a release that was made of *upload*.  Raises OSError."""
    folder = spec.reports_of(release.name)
    files.make_directories(folder, files.SHARED_DIRECTORY)
    manifest = {"release": release.name, "upload": upload, "sha256": digests}
    files.write_json(f"{folder}/{FILE}", manifest, files.GROUP_FILE)


def upload_of(spec: ReleaseSpec, name: str) -> str:
    """Return the name of the tarball of a release; empty if that is not known."""
    try:
        manifest = files.read_json(f"{spec.reports_of(name)}/{FILE}")
    except (OSError, ValueError, RecursionError):
        return ""
    upload = manifest.get("upload") if isinstance(manifest, dict) else ""
    return upload if isinstance(upload, str) else ""
