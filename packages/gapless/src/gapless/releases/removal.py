"""Remove superfluous releases."""

from __future__ import annotations

import contextlib
import os

from gapless.base.errors import UnavailableError
from gapless.releases import current, file_list, paths, prune
from gapless.releases.inbox import claims
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.signing import records


def remove_superfluous(
    spec: ReleaseSpec, in_use: frozenset[str]
) -> tuple[Release, ...]:
    """Remove the releases that `prune.superfluous` names; return them.

    What cannot be removed now (NFS keeps files that another host has open) is removed
    with the next call.
    """
    found = prune.superfluous(current.releases(spec), keep=spec.keep, in_use=in_use)
    if found and spec.signers:
        try:
            # A release that failed is removed as well: its upload stays an older one.
            records.latest_ns(spec)
        except UnavailableError:
            return ()
    for release in found:
        # Renamed first: half a release never has the name of a release.
        os.rename(release.path, f"{spec.work}/{claims.REMOVED}{release.name}")
        # Its reports stay.  The list of its files may be as long as all dependencies.
        paths.remove(file_list.path_of(spec, release.name))
    for name in paths.names_in(spec.work):
        if name.startswith(claims.REMOVED):  # of earlier calls as well
            with contextlib.suppress(OSError):
                paths.remove(f"{spec.work}/{name}")
    return found
