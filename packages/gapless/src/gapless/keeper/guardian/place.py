"""Where in the memory that outlives the keeper it says who its guardian is."""

from __future__ import annotations

import os
import sys

GUARDIAN_AT = 8


def guardian_in(descriptor: int) -> int:
    """Return the guardian that has everything; 0 if there is none yet."""
    return int.from_bytes(os.pread(descriptor, 8, GUARDIAN_AT), sys.byteorder)
