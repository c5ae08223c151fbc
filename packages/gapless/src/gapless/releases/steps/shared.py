"""Shared files and folders: they outlive releases, and each release has links to them."""

from __future__ import annotations

import os

from gapless.base import files
from gapless.releases import paths
from gapless.releases.model import ReleaseSpec


def link_shared(spec: ReleaseSpec, tree: str) -> None:
    """Link the shared files and folders into the tree of a release.

    What the tree has by the same name becomes the shared one if there is none yet, and is
    removed otherwise.
    """
    for relative in spec.shared:
        lasting = f"{spec.base}/shared/{spec.app}/{relative}"
        inside = f"{tree}/{relative}"
        for path in (lasting, inside):
            files.make_directories(os.path.dirname(path), files.SHARED_DIRECTORY)
        if os.path.lexists(inside):
            if not os.path.lexists(lasting):
                os.rename(inside, lasting)
            else:
                paths.remove(inside)
        elif not os.path.lexists(lasting) and "." not in os.path.basename(relative):
            # A name without a dot is that of a folder.
            files.make_directories(lasting, files.SHARED_DIRECTORY)
        os.symlink(lasting, inside)
