"""What is shared by all releases of an app, in a rehearsal: copies, or nothing.

Neither the candidate nor the current release ever has the real ones.
"""

from __future__ import annotations

import os

from gapless.rehearsal.model import COPY
from gapless.rehearsal.stage.copying import Copying
from gapless.releases.model import ReleaseSpec

MOST_BYTES, MOST_FILES = 512 << 20, 50_000


def prepare(real: ReleaseSpec, own: ReleaseSpec, how: str) -> dict[str, str]:
    """Put what is shared where *own*, the releases of the stage, expect it.

    Returns where the real directory lies now.  Raises GaplessError.
    """
    there, here = f"{real.base}/shared/{real.app}", f"{own.base}/shared/{own.app}"
    moved = {there: here}
    if os.path.realpath(there) != there:
        moved[os.path.realpath(there)] = here
    if how == COPY:
        copying = Copying(moved, most_bytes=MOST_BYTES, most_files=MOST_FILES)
        for relative in real.shared:
            if os.path.lexists(f"{there}/{relative}"):
                copying.copy(f"{there}/{relative}", f"{here}/{relative}")
    return moved
