"""Shared files and folders: they outlive releases, and each release has links to them."""

from __future__ import annotations

import os

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
        os.makedirs(os.path.dirname(lasting), exist_ok=True)
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        if os.path.lexists(inside):
            if not os.path.lexists(lasting):
                os.rename(inside, lasting)
            else:
                paths.remove(inside)
        elif not os.path.lexists(lasting) and "." not in os.path.basename(relative):
            os.mkdir(lasting)  # a name without a dot is that of a folder
        os.symlink(lasting, inside)
