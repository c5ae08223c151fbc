"""What may be wrong with a tarball: it is not whole, or what it holds is not allowed."""

from __future__ import annotations

import os

from gapless.base.outside.text import printable

_MOST_CHARACTERS = 160
"""Of a name in a message: a name may have thousands."""


class BrokenError(Exception):
    """The bytes are no archive, or not all of one."""


class RefusedError(Exception):
    """A release must not have what the archive holds.  Its text names the member."""


def shown(name: bytes) -> str:
    """Return a name from a tarball as it stands in a message: quoted, short, printable."""
    text = printable(os.fsdecode(name[: 2 * _MOST_CHARACTERS]))
    cut = text[:_MOST_CHARACTERS]
    return f"'{cut}...'" if cut != text or len(name) > 2 * len(cut) else f"'{text}'"
