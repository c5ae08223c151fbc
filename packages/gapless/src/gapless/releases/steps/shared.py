"""Shared files and folders: they outlive releases, and each release has links to them.

Folders among them belong to users of apps often, who may put a link there at any time: what
is made or moved there is so by descriptor (`base/outside/reached_path`).
"""

from __future__ import annotations

import os

from gapless.base import files
from gapless.base.errors import UnavailableError
from gapless.base.outside import reached_path
from gapless.releases import paths
from gapless.releases.model import ReleaseSpec

_NOTHING = ".gapless-nothing"


def link_shared(spec: ReleaseSpec, tree: str) -> None:
    """Link the shared files and folders into the tree of a release.

    What the tree has by the same name becomes the shared one if there is none yet, and is
    removed otherwise.  Raises UnavailableError if a link of another user leads elsewhere,
    OSError.
    """
    for relative in spec.shared:
        lasting = f"{spec.base}/shared/{spec.app}/{relative}"
        inside = f"{tree}/{relative}"
        files.make_directories(os.path.dirname(inside), files.SHARED_DIRECTORY)
        try:
            _make_lasting(lasting, inside)
        except PermissionError as error:
            raise UnavailableError(
                f"{spec.app}: {lasting} could not be made, or be shared: on the way there "
                f"is a link of another user, or no right to write ({error.strerror})",
                hint=f"look at what is in {spec.base}/shared/{spec.app}",
            ) from error
        os.symlink(lasting, inside)


def _make_lasting(lasting: str, inside: str) -> None:
    """Let what is shared be there, and nothing in its place in the tree."""
    folder, name = os.path.split(lasting)
    where = f"{folder}/{_NOTHING}"  # of the name itself it does not matter what it is
    made = files.SHARED_DIRECTORY
    with reached_path.parent_of(where, make=True, mode=made) as (directory, _):
        is_there = reached_path.is_there(directory, name)
        if os.path.lexists(inside):
            if not is_there:
                os.rename(inside, name, dst_dir_fd=directory)
            else:
                paths.remove(inside)
        elif not is_there and "." not in name:
            # A name without a dot is that of a folder.
            with reached_path.parent_of(f"{lasting}/{_NOTHING}", make=True, mode=made):
                return
